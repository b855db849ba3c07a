package edgepack.module;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import java.util.Map;

/** For tests and benchmarks: a JSON object a line in, one a line out, about one tokenizer. Arguments: tokenizer.json, characters.json. */
public final class Lines {
    private final Tokenizer tokenizer;

    private Lines(Tokenizer tokenizer) {
        this.tokenizer = tokenizer;
    }

    public static void main(String[] arguments) throws IOException {
        byte[] characters = Files.readAllBytes(Path.of(arguments[1]));
        Lines lines = new Lines(new Tokenizer(Files.readAllBytes(Path.of(arguments[0])), characters));
        PrintStream out = new PrintStream(new java.io.BufferedOutputStream(System.out, 1 << 16), false, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            StringBuilder answer = new StringBuilder();
            try {
                lines.answer(new Fields(Json.parse(line), "line"), answer);
            } catch (RuntimeException error) {
                answer.setLength(0);
                write(Map.of("error", error.getClass().getSimpleName() + ": " + error.getMessage()), answer);
            }
            out.println(answer);
            if (!in.ready()) {
                out.flush();
            }
        }
        out.flush();
    }

    private void answer(Fields asked, StringBuilder answer) {
        switch (asked.text("op")) {
            case "encode":
                write(tokenizer.encode(asked.text("text"), asked.has("pair") ? asked.text("pair") : null), answer);
                break;
            case "words":
                write(tokenizer.encodeWords(asked.texts("words")), answer);
                break;
            case "windows":
                List<Encoding> windows = tokenizer.windows(
                        asked.text("question"), asked.text("context"), asked.whole("longest"), asked.whole("stride"));
                for (Encoding window : windows) {
                    answer.append(answer.length() == 0 ? '[' : ',');
                    write(window, answer);
                }
                answer.append(']');
                break;
            case "decode":
                int[] ids = asked.wholes("ids");
                write(Map.of("text", tokenizer.decode(ids, ids.length)), answer);
                break;
            case "json":
                write(java.util.Collections.singletonMap("value", Json.parse(asked.text("text"))), answer);
                break;
            case "ed25519":
                boolean signed = Ed25519.verify(bytes(asked.text("key")), bytes(asked.text("message")), bytes(asked.text("signature")));
                write(Map.of("signed", signed), answer);
                break;
            case "draw":
                write(Map.of("counts", counts(asked)), answer);
                break;
            case "speed":
                write(Map.of("texts_per_s", speed(asked.texts("texts"), asked.number("seconds"))), answer);
                break;
            default:
                throw asked.unknown("op");
        }
    }

    private static byte[] bytes(String digits) {
        return java.util.Base64.getDecoder().decode(digits);
    }

    /** How often each token is drawn by what a pack states of sampling. */
    private static List<Integer> counts(Fields asked) {
        double[] values = asked.numbers("logits");
        float[] logits = new float[values.length];
        for (int index = 0; index < logits.length; index++) {
            logits[index] = (float) values[index];
        }
        Sampling sampling = Sampling.stated(asked.object("stated"), asked.whole("seed"));
        java.util.Random draws = sampling.draws();
        Integer[] counts = new Integer[logits.length];
        java.util.Arrays.fill(counts, 0);
        for (int draw = 0; draw < asked.whole("draws"); draw++) {
            counts[sampling.choose(logits, draws)]++;
        }
        return java.util.Arrays.asList(counts);
    }

    private double speed(List<String> texts, double seconds) {
        double best = 0;
        long end = System.nanoTime() + (long) (seconds * 1e9);
        while (System.nanoTime() < end) {
            long start = System.nanoTime();
            for (String text : texts) {
                tokenizer.encode(text, null);
            }
            best = Math.max(best, texts.size() * 1e9 / (System.nanoTime() - start));
        }
        return best;
    }

    private static void write(Encoding encoding, StringBuilder out) {
        out.append("{\"ids\":").append(java.util.Arrays.toString(encoding.ids));
        out.append(",\"types\":").append(java.util.Arrays.toString(encoding.typeIds));
        out.append(",\"starts\":").append(java.util.Arrays.toString(encoding.starts));
        out.append(",\"ends\":").append(java.util.Arrays.toString(encoding.ends));
        out.append(",\"words\":").append(java.util.Arrays.toString(encoding.words));
        out.append(",\"parts\":").append(java.util.Arrays.toString(encoding.parts));
        out.append(",\"cut\":").append(encoding.cut).append('}');
    }

    static void write(Object value, StringBuilder out) {
        if (value instanceof Map) {
            out.append('{');
            Iterator<? extends Map.Entry<?, ?>> entries = ((Map<?, ?>) value).entrySet().iterator();
            while (entries.hasNext()) {
                Map.Entry<?, ?> entry = entries.next();
                write(entry.getKey(), out);
                out.append(':');
                write(entry.getValue(), out);
                out.append(entries.hasNext() ? "," : "");
            }
            out.append('}');
        } else if (value instanceof List) {
            out.append('[');
            Iterator<?> entries = ((List<?>) value).iterator();
            while (entries.hasNext()) {
                write(entries.next(), out);
                out.append(entries.hasNext() ? "," : "");
            }
            out.append(']');
        } else if (value instanceof String) {
            quote((String) value, out);
        } else {
            out.append(value);
        }
    }

    private static void quote(String text, StringBuilder out) {
        out.append('"');
        for (int index = 0; index < text.length(); index++) {
            char character = text.charAt(index);
            boolean plain = character >= ' ' && character != '"' && character != '\\' && character != '\u2028' && !Character.isSurrogate(character) && character != '\u007F';
            out.append(plain ? String.valueOf(character) : String.format("\\u%04x", (int) character));
        }
        out.append('"');
    }
}
