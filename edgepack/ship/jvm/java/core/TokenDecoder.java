package edgepack.module;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** Tokens back to text, as tokenizer.json's decoder does it. */
final class TokenDecoder {
    private interface Step {
        List<String> apply(List<String> tokens);
    }

    private static final String[][] CLEANED = {
        {" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"}, {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };

    private final List<Step> steps = new ArrayList<>();

    TokenDecoder(Fields tokenizer) {
        if (tokenizer.has("decoder")) {
            read(tokenizer.object("decoder"));
        }
    }

    String decode(List<String> tokens) {
        List<String> now = tokens;
        for (Step step : steps) {
            now = step.apply(now);
        }
        return String.join(steps.isEmpty() ? " " : "", now);
    }

    private void read(Fields fields) {
        switch (fields.text("type")) {
            case "Sequence":
                for (Fields part : fields.objects("decoders")) {
                    read(part);
                }
                break;
            case "ByteLevel":
                steps.add(TokenDecoder::joinBytes);
                break;
            case "ByteFallback":
                steps.add(TokenDecoder::readBytes);
                break;
            case "Fuse":
                steps.add(tokens -> Collections.singletonList(String.join("", tokens)));
                break;
            case "Replace":
                String wanted = fields.object("pattern").text("String");
                String content = fields.text("content");
                steps.add(tokens -> each(tokens, token -> token.replace(wanted, content)));
                break;
            case "Strip":
                strip(fields.text("content"), fields.whole("start"), fields.whole("stop"));
                break;
            case "Metaspace":
                metaspace(fields.text("replacement"), !fields.text("prepend_scheme").equals("never"));
                break;
            case "WordPiece":
                wordPiece(fields.text("prefix"), fields.yes("cleanup", true));
                break;
            default:
                throw fields.unknown("type");
        }
    }

    private interface Change {
        String of(String token);
    }

    private static List<String> each(List<String> tokens, Change change) {
        List<String> result = new ArrayList<>(tokens.size());
        for (String token : tokens) {
            result.add(change.of(token));
        }
        return result;
    }

    private static List<String> joinBytes(List<String> tokens) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (String token : tokens) {
            boolean spelled = token.codePoints().allMatch(character -> ByteLevel.byteOf(character) >= 0);
            if (spelled) {
                token.codePoints().forEach(character -> bytes.write(ByteLevel.byteOf(character)));
            } else {
                byte[] raw = token.getBytes(StandardCharsets.UTF_8);
                bytes.write(raw, 0, raw.length);
            }
        }
        return Collections.singletonList(new String(bytes.toByteArray(), StandardCharsets.UTF_8));
    }

    private static List<String> readBytes(List<String> tokens) {
        List<String> result = new ArrayList<>();
        ByteArrayOutputStream pending = new ByteArrayOutputStream();
        for (String token : tokens) {
            int value = byteOf(token);
            if (value >= 0) {
                pending.write(value);
                continue;
            }
            flush(pending, result);
            result.add(token);
        }
        flush(pending, result);
        return result;
    }

    private static int byteOf(String token) {
        boolean named = token.length() == 6 && token.startsWith("<0x") && token.endsWith(">");
        int high = named ? Character.digit(token.charAt(3), 16) : -1;
        int low = named ? Character.digit(token.charAt(4), 16) : -1;
        return high < 0 || low < 0 ? -1 : high * 16 + low;
    }

    private static void flush(ByteArrayOutputStream pending, List<String> result) {
        byte[] bytes = pending.toByteArray();
        pending.reset();
        if (bytes.length == 0) {
            return;
        }
        try {
            result.add(Json.utf8(bytes));
        } catch (PackException noText) {
            for (int count = 0; count < bytes.length; count++) {
                result.add("\uFFFD");
            }
        }
    }

    private void strip(String content, int start, int stop) {
        steps.add(tokens -> each(tokens, token -> {
            String left = token;
            for (int count = 0; count < start && left.startsWith(content); count++) {
                left = left.substring(content.length());
            }
            for (int count = 0; count < stop && left.endsWith(content); count++) {
                left = left.substring(0, left.length() - content.length());
            }
            return left;
        }));
    }

    private void metaspace(String mark, boolean prepended) {
        steps.add(tokens -> {
            List<String> result = new ArrayList<>();
            for (String token : tokens) {
                result.add(token.replace(mark, result.isEmpty() && prepended ? "" : " "));
            }
            return result;
        });
    }

    private void wordPiece(String prefix, boolean cleanup) {
        steps.add(tokens -> {
            List<String> result = new ArrayList<>();
            for (String token : tokens) {
                String text = result.isEmpty() ? token : token.startsWith(prefix) ? token.substring(prefix.length()) : " " + token;
                for (int index = 0; cleanup && index < CLEANED.length; index++) {
                    text = text.replace(CLEANED[index][0], CLEANED[index][1]);
                }
                result.add(text);
            }
            return result;
        });
    }
}
