// Bouncy Castle's EST client, one command a line:
//
//     cacerts LABEL                          -> ok COUNT
//     csrattrs LABEL                         -> ok COUNT
//     enroll LABEL PASSWORD NAME...          -> ok SERIAL | wait | error STATUS TEXT
//     again                                  -> the same request once more, after it had to wait
//     reenroll LABEL NAME...                 -> with the certificate of before as the client's, and a new key
//     serverkeygen LABEL PASSWORD NAME...
//
// LABEL and PASSWORD are "-" for none, PASSWORD "empty" for an empty one. Arguments: host:port, and the file of the root.
import java.io.*;
import java.nio.file.*;
import java.security.*;
import java.security.cert.CertificateFactory;
import java.security.spec.ECGenParameterSpec;
import java.util.*;
import javax.net.ssl.*;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.*;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.est.*;
import org.bouncycastle.est.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequestBuilder;

public class EstClient {
    static String where;
    static java.security.cert.X509Certificate root;
    static KeyPair pair;
    static java.security.cert.X509Certificate mine;
    static EnrollmentResponse waiting;
    static ESTService service;

    static X509TrustManager trust() throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        store.setCertificateEntry("root", root);
        TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
        factory.init(store);
        return (X509TrustManager) factory.getTrustManagers()[0];
    }

    static ESTService connect(String label, boolean asMe) throws Exception {
        JsseESTServiceBuilder builder = new JsseESTServiceBuilder(where, trust());
        if (!label.equals("-"))
            builder.withLabel(label);
        builder.withTimeout(20000);
        if (asMe) {
            KeyStore store = KeyStore.getInstance("PKCS12");
            store.load(null, null);
            store.setKeyEntry("me", pair.getPrivate(), new char[0], new java.security.cert.Certificate[] { mine });
            KeyManagerFactory factory = KeyManagerFactory.getInstance("PKIX");
            factory.init(store, new char[0]);
            builder.withKeyManagers(factory.getKeyManagers());
        }
        return builder.build();
    }

    static PKCS10CertificationRequest request(KeyPair pair, String[] names) throws Exception {
        GeneralName[] san = new GeneralName[names.length];
        for (int i = 0; i < names.length; i++)
            san[i] = new GeneralName(names[i].matches("[0-9.]+") ? GeneralName.iPAddress : GeneralName.dNSName, names[i]);
        ExtensionsGenerator extensions = new ExtensionsGenerator();
        extensions.addExtension(Extension.subjectAlternativeName, false, new GeneralNames(san));
        ContentSigner signer = new JcaContentSignerBuilder("SHA256withECDSA").build(pair.getPrivate());
        return new JcaPKCS10CertificationRequestBuilder(new X500Name("CN=" + names[0]), pair.getPublic())
            .addAttribute(PKCSObjectIdentifiers.pkcs_9_at_extensionRequest, extensions.generate()).build(signer);
    }

    static KeyPair fresh() throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        return generator.generateKeyPair();
    }

    static ESTAuth auth(String password) throws Exception {
        if (password.equals("-"))
            return null;
        char[] text = password.equals("empty") ? new char[0] : password.toCharArray();
        return new JcaHttpAuthBuilder("device", text).setProvider("BC").build();
    }

    static String told(EnrollmentResponse response, KeyPair used) throws Exception {
        if (!response.isCompleted()) {
            waiting = response;
            return "wait " + (response.getNotBefore() - System.currentTimeMillis()) / 1000;
        }
        X509CertificateHolder[] all = ESTService.storeToArray(response.getStore());
        if (all.length != 1)
            return "error 0 " + all.length + " certificates";
        pair = used;
        mine = new JcaX509CertificateConverter().getCertificate(all[0]);
        if (!mine.getPublicKey().equals(used.getPublic()))
            return "error 0 another key";
        return "ok " + String.format("%040x", mine.getSerialNumber());
    }

    static KeyPair used;

    static String run(String[] word) throws Exception {
        switch (word[0]) {
        case "cacerts":
            return "ok " + ESTService.storeToArray(connect(word[1], false).getCACerts().getCertificateStore()).length;
        case "csrattrs":
            CSRRequestResponse wanted = connect(word[1], false).getCSRAttributes();
            return "ok " + (wanted.hasAttributesResponse() ? wanted.getAttributesResponse().getRequirements().size() : 0);
        case "enroll":
            used = fresh();
            service = connect(word[1], false);
            return told(service.simpleEnroll(false, request(used, Arrays.copyOfRange(word, 3, word.length)), auth(word[2])), used);
        case "again":
            return told(service.simpleEnroll(waiting), used);
        case "reenroll":
            used = fresh();
            return told(connect(word[1], true).simpleEnroll(true, request(used, Arrays.copyOfRange(word, 2, word.length)), null), used);
        case "serverkeygen":
            used = fresh();
            return told(connect(word[1], false).simpleEnrollWithServersideCreation(
                request(used, Arrays.copyOfRange(word, 3, word.length)), auth(word[2])), used);
        default:
            return "error 0 no such command";
        }
    }

    static String text(Throwable error) {
        if (error instanceof ESTException && ((ESTException) error).getStatusCode() > 0) {
            ESTException told = (ESTException) error;
            try (InputStream body = told.getBody()) {
                return told.getStatusCode() + " " + (body == null ? "" : new String(body.readAllBytes(), "UTF-8").replace('\n', ' '));
            } catch (IOException lost) {
                return told.getStatusCode() + " ";
            }
        }
        return error.getCause() != null ? text(error.getCause()) : "0 " + error;
    }

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        where = args[0];
        try (InputStream in = Files.newInputStream(Path.of(args[1]))) {
            root = (java.security.cert.X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
        }
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = lines.readLine()) != null; System.out.flush())
            try {
                System.out.println(run(line.split(" ")));
            } catch (Exception error) {
                System.out.println("error " + text(error));
            }
    }
}
