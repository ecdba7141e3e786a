/* The self-test: an image of cad's own HTTPS comes only where its certificate is trusted. Nothing of the answer is read. */
'use strict';
(() => {
  const box = document.getElementById('test-result');
  const again = document.getElementById('test-again');
  if (!box)
    return;
  const LIMIT_MS = 8000;
  const { port, host } = box.dataset;
  const hosts = new Set([location.hostname, host]);

  const say = (kind, text) => {
    box.className = 'result ' + kind;
    box.textContent = text;
  };

  const comes = (name) => new Promise((resolve) => {
    const image = new Image();
    const timer = setTimeout(() => resolve(false), LIMIT_MS);
    const done = (answer) => {
      clearTimeout(timer);
      resolve(answer);
    };
    image.onload = () => done(true);
    image.onerror = () => done(false);
    image.src = `https://${name}:${port}/trust/check.svg?${Date.now()}`;
  });

  const test = async () => {
    say('', 'Testing …');
    const answers = [...hosts].map(comes);
    const yes = Promise.any(answers.map((answer) => answer.then((is) => is || Promise.reject())));
    if (await yes.catch(() => false))
      say('trusted', 'This device trusts this CA: this browser has fetched something over HTTPS with a certificate of it.');
    else
      say('untrusted', 'This device does not trust this CA, or cannot reach its HTTPS at port ' + port +
          '. Install it as above, then test again; some browsers need to be started anew.');
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
