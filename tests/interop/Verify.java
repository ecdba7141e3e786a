/*
 * What Java thinks of certificate chains: the PKIX trust manager of its TLS, and its comparison of names.
 *
 * In:  a line a chain: label, folder (root.pem, chain.pem), purpose (server, client, email), name or nothing; tabs between.
 * Out: a line a chain: label, "accepted" or "refused", why.
 */
import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import sun.security.util.HostnameChecker;

public class Verify {
        private static final String EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4";

        private static X509Certificate[] read(Path path) throws Exception {
                try (InputStream in = Files.newInputStream(path)) {
                        return CertificateFactory.getInstance("X.509").generateCertificates(in).toArray(new X509Certificate[0]);
                }
        }

        private static X509TrustManager trusting(X509Certificate root) throws Exception {
                KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
                TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");

                store.load(null, null);
                store.setCertificateEntry("root", root);
                factory.init(store);
                return (X509TrustManager) factory.getTrustManagers()[0];
        }

        private static void verify(Path folder, String purpose, String name) throws Exception {
                X509Certificate[] chain = read(folder.resolve("chain.pem"));
                X509TrustManager manager = trusting(read(folder.resolve("root.pem"))[0]);

                if (purpose.equals("server"))
                        manager.checkServerTrusted(chain, "UNKNOWN");
                else
                        manager.checkClientTrusted(chain, "UNKNOWN");
                /* the trust managers of TLS know no e-mail: the usage is looked at here */
                if (purpose.equals("email") && !chain[0].getExtendedKeyUsage().contains(EMAIL_PROTECTION))
                        throw new CertificateException("extended key usage has no e-mail protection");
                if (!name.isEmpty() && !name.contains("@"))
                        HostnameChecker.getInstance(HostnameChecker.TYPE_TLS).match(name, chain[0]);
        }

        private static String reason(Throwable thrown) {
                StringBuilder text = new StringBuilder();

                for (Throwable t = thrown; t != null; t = t.getCause())
                        text.append(t.getClass().getSimpleName()).append(": ").append(t.getMessage()).append("; ");
                return text.toString().replace('\n', ' ').replace('\t', ' ');
        }

        public static void main(String[] args) throws Exception {
                BufferedReader in = new BufferedReader(new InputStreamReader(System.in));

                for (String line = in.readLine(); line != null; line = in.readLine()) {
                        String[] words = line.split("\t", -1);
                        String verdict = "accepted\t";

                        try {
                                verify(Path.of(words[1]), words[2], words[3]);
                        } catch (Exception e) {
                                verdict = "refused\t" + reason(e);
                        }
                        System.out.println(words[0] + "\t" + verdict);
                }
        }
}
