/* The self-test: an image of cad's own HTTPS comes only where its certificate is trusted. Nothing of the answer is read. */
'use strict';
(() => {
  const box = document.getElementById('test-result');
  const again = document.getElementById('test-again');
  if (!box)
    return;
  const LIMIT_MS = 8000;
  const { port, host } = box.dataset;

  const say = (kind, text) => {
    box.className = 'result ' + kind;
    box.textContent = text;
  };

  const test = () => {
    const hosts = new Set([location.hostname, host]);
    let waiting = hosts.size;
    say('', 'Testing …');
    hosts.forEach((name) => {
      const image = new Image();
      const fail = () => {
        image.onload = image.onerror = null;
        clearTimeout(timer);
        waiting -= 1;
        if (!waiting && !box.classList.contains('trusted'))
          say('untrusted', 'This device does not trust this CA, or cannot reach its HTTPS at port ' + port +
              '. Install it as above, then test again; some browsers need to be started anew.');
      };
      const timer = setTimeout(fail, LIMIT_MS);
      image.onerror = fail;
      image.onload = () => {
        clearTimeout(timer);
        say('trusted', 'This device trusts this CA: this browser has fetched something over HTTPS with a certificate of it.');
      };
      image.src = `https://${name}:${port}/trust/check.svg?${Date.now()}`;
    });
  };

  if (location.protocol === 'https:') {
    say('', 'This page came over HTTPS. If your browser did not warn you of it, this device trusts this CA. Where you went on ' +
        'past a warning, only the page over plain HTTP can tell.');
    return;
  }
  again.hidden = false;
  again.addEventListener('click', test);
  test();
})();
