package edgepack.module;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.Base64;

/** Whether the files are those that were shipped: the signature of module.json, then size and sha256 of every file it lists. */
final class Integrity {
    private static final String AGAIN = ": install the app again";

    private Integrity() {}

    /** module.json: its signature is checked where the module knows a key, its name, version and time where it has a name. */
    static Manifest manifest(ModuleFiles files) {
        byte[] content = files.read("module.json");
        if (Signer.PUBLIC_KEYS.length > 0 && !signed(content, signature(files))) {
            throw new PackException("module.json is not signed by a key that this module knows" + AGAIN);
        }
        Manifest manifest = new Manifest(content);
        if (!Signer.NAME.isEmpty()) {
            checkRelease(manifest.fields, Instant.now());
        }
        return manifest;
    }

    private static boolean signed(byte[] content, byte[] signature) {
        for (String key : Signer.PUBLIC_KEYS) {
            if (Ed25519.verify(hexadecimal(key), content, signature)) {
                return true;
            }
        }
        return false;
    }

    private static void checkRelease(Fields fields, Instant now) {
        if (!fields.text("name").equals(Signer.NAME)) {
            throw new PackException("module.json belongs to the module " + fields.text("name") + ", and this is " + Signer.NAME + AGAIN);
        }
        String version = fields.text("version");
        if (isOlder(version, Signer.MINIMUM_VERSION)) {
            throw new PackException(
                    "the model has version " + version + ", and this module opens " + Signer.MINIMUM_VERSION + " or newer" + AGAIN);
        }
        if (fields.has("expires") && !now.isBefore(time(fields.text("expires")))) {
            throw new PackException(
                    "the model expired at " + fields.text("expires") + ", by this device's clock: update the app, or set the clock");
        }
    }

    private static Instant time(String text) {
        try {
            return Instant.parse(text);
        } catch (DateTimeParseException error) {
            throw new PackException("module.json has no time of expiry: " + text + AGAIN, error);
        }
    }

    /** Of three numbers each; what is not a version is older than every one. */
    static boolean isOlder(String version, String least) {
        if (!version.matches("[0-9]{1,9}\\.[0-9]{1,9}\\.[0-9]{1,9}")) {
            return true;
        }
        String[] numbers = version.split("\\.");
        String[] others = least.split("\\.");
        for (int index = 0; index < others.length; index++) {
            int difference = Integer.parseInt(numbers[index]) - Integer.parseInt(others[index]);
            if (difference != 0) {
                return difference < 0;
            }
        }
        return false;
    }

    /** Empty where the file is not what was written: base64 has several spellings of the same bytes. */
    private static byte[] signature(ModuleFiles files) {
        byte[] written = files.read("module.sig");
        String text = new String(written, StandardCharsets.ISO_8859_1);
        try {
            byte[] signature = Base64.getDecoder().decode(text.trim());
            return (Base64.getEncoder().encodeToString(signature) + "\n").equals(text) ? signature : new byte[0];
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
