package edgepack.module;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Map;

/** For tests: a JSON object a line in, {"folder": a module's}; the hash of its decoded weights, or what is wrong, a line out. */
public final class CodedLines {
    private CodedLines() {}

    public static void main(String[] arguments) throws IOException {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            Fields asked = new Fields(Json.parse(line), "line");
            StringBuilder written = new StringBuilder();
            Lines.write(answer(asked), written);
            out.println(written);
        }
    }

    private static Object answer(Fields asked) {
        try {
            ModuleFiles files = new FolderFiles(new File(asked.text("folder")));
            Manifest manifest = new Manifest(files.read("module.json"));
            String name = manifest.fields.object("coded").text("file");
            ByteBuffer whole = Weights.of(files, manifest, name, 2);
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update(whole);
            StringBuilder text = new StringBuilder();
            for (byte one : digest.digest()) {
                text.append(String.format("%02x", one));
            }
            return Map.of("sha256", text.toString(), "mapped", whole instanceof java.nio.MappedByteBuffer && whole.isReadOnly());
        } catch (PackException error) {
            return Map.of("problem", error.getMessage());
        } catch (IOException | java.security.NoSuchAlgorithmException error) {
            return Map.of("error", String.valueOf(error));
        }
    }
}
