/*
 * A Java program that asks a web server, with the trust store that it is started with (-Djavax.net.ssl.trustStore): what an application does that knows
 * nothing of certificates.
 *
 * In:  URLs.
 * Out: a line a URL: the status and the subject of the server's issuer, or the exception.
 */
import java.net.URL;
import java.security.cert.X509Certificate;
import javax.net.ssl.HttpsURLConnection;

public class Connect {
        public static void main(String[] urls) {
                for (String url : urls) {
                        try {
                                HttpsURLConnection connection = (HttpsURLConnection) new URL(url).openConnection();

                                connection.setConnectTimeout(10000);
                                connection.setReadTimeout(10000);
                                System.out.print(connection.getResponseCode() + " ");
                                System.out.println(((X509Certificate) connection.getServerCertificates()[0]).getIssuerX500Principal());
                                connection.disconnect();
                        } catch (Exception e) {
                                System.out.println(e.toString().replace('\n', ' '));
                        }
                }
        }
}
