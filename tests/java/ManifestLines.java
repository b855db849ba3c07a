package edgepack.module;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;

/** For tests: a JSON string a line in, the text of a module.json; out comes what Java says of it, or an empty string. */
public final class ManifestLines {
    private ManifestLines() {}

    public static void main(String[] arguments) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String problem = "";
            try {
                new Manifest(((String) Json.parse(line)).getBytes(StandardCharsets.UTF_8));
            } catch (PackException refused) {
                problem = refused.getMessage();
            }
            StringBuilder answer = new StringBuilder();
            Lines.write(problem, answer);
            System.out.println(answer);
        }
    }
}
