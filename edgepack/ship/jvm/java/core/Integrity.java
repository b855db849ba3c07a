package edgepack.module;

import java.io.IOException;
import java.io.InputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Base64;

/** Whether the files are those that were shipped: the signature of module.json, then size and sha256 of every file it lists. */
final class Integrity {
    private static final String AGAIN = ": install the app again";

    private Integrity() {}

    /** module.json, its signature checked where the module knows a key. */
    static Manifest manifest(ModuleFiles files) {
        return manifest(files, Signer.PUBLIC_KEY);
    }

    static Manifest manifest(ModuleFiles files, String key) {
        byte[] content = files.read("module.json");
        if (!key.isEmpty() && !Ed25519.verify(hexadecimal(key), content, signature(files))) {
            throw new PackException("module.json is not signed by the key that this module knows" + AGAIN);
        }
        return new Manifest(content);
    }

    private static byte[] signature(ModuleFiles files) {
        try {
            return Base64.getDecoder().decode(Json.utf8(files.read("module.sig")).trim());
        } catch (IllegalArgumentException error) {
            throw new PackException("module.sig is no base64" + AGAIN, error);
        }
    }

    private static byte[] hexadecimal(String digits) {
        byte[] bytes = new byte[digits.length() / 2];
        for (int index = 0; index < bytes.length; index++) {
            bytes[index] = (byte) Integer.parseInt(digits.substring(index * 2, index * 2 + 2), 16);
        }
        return bytes;
    }

    /** PackException names the first file that is missing or another. */
    static void check(ModuleFiles files, Manifest manifest) {
        for (Fields entry : manifest.files) {
            String name = entry.text("name");
            byte[] digest;
            try (InputStream in = files.open(name)) {
                digest = sha256(in);
            } catch (IOException error) {
                throw new PackException(name + " is missing or cannot be read" + AGAIN, error);
            }
            if (!java.util.Arrays.equals(digest, hexadecimal(entry.text("sha256")))) {
                throw new PackException(name + " was changed: its hash is not the one it was shipped with" + AGAIN);
            }
        }
    }

    private static byte[] sha256(InputStream in) throws IOException {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            byte[] part = new byte[1 << 16];
            for (int count = in.read(part); count >= 0; count = in.read(part)) {
                digest.update(part, 0, count);
            }
            return digest.digest();
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }
}
