package edgepack.module;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads JSON as RFC 8259 defines it and nothing beside it: no comments, no trailing commas, no lone surrogates, no key twice.
 *
 * <p>Gives Map, List, String, Long, Double, Boolean and null. Android has a reader of its own, a plain JVM has none.
 */
final class Json {
    private static final int DEEPEST = 200;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    static Object parse(String text) {
        Json json = new Json(text);
        json.skipBlanks();
        Object value = json.value(0);
        json.skipBlanks();
        if (json.at < text.length()) {
            throw json.wrong("text behind the end");
        }
        return value;
    }

    /** A file's bytes, which must be UTF-8. */
    static Object parse(byte[] bytes) {
        return parse(utf8(bytes));
    }

    static String utf8(byte[] bytes) {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
        } catch (CharacterCodingException error) {
            throw new PackException("not valid UTF-8", error);
        }
    }

    private Object value(int depth) {
        if (depth > DEEPEST) {
            throw wrong("nested too deep");
        }
        if (at == text.length()) {
            throw wrong("a value is missing");
        }
        switch (text.charAt(at)) {
            case '{':
                return object(depth);
            case '[':
                return array(depth);
            case '"':
                return string();
            case 't':
                return word("true", true);
            case 'f':
                return word("false", false);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> found = new LinkedHashMap<>();
        at++;
        skipBlanks();
        if (taken('}')) {
            return found;
        }
        do {
            skipBlanks();
            if (at == text.length() || text.charAt(at) != '"') {
                throw wrong("a key is missing");
            }
            String key = string();
            skipBlanks();
            need(':');
            skipBlanks();
            Object value = value(depth + 1);
            if (found.containsKey(key)) {
                throw wrong("the key \"" + key + "\" stands twice");
            }
            found.put(key, value);
            skipBlanks();
        } while (taken(','));
        need('}');
        return found;
    }

    private List<Object> array(int depth) {
        List<Object> found = new ArrayList<>();
        at++;
        skipBlanks();
        if (taken(']')) {
            return found;
        }
        do {
            skipBlanks();
            found.add(value(depth + 1));
            skipBlanks();
        } while (taken(','));
        need(']');
        return found;
    }

    private String string() {
        int start = ++at;
        while (at < text.length() && plain(text.charAt(at))) {
            at++;
        }
        if (at < text.length() && text.charAt(at) == '"') {
            return text.substring(start, at++);
        }
        StringBuilder built = new StringBuilder().append(text, start, at);
        while (at < text.length() && text.charAt(at) != '"') {
            char found = text.charAt(at++);
            if (found < ' ') {
                throw wrong("a control character in a string");
            }
            built.append(found == '\\' ? escaped() : found);
        }
        need('"');
        return checked(built.toString());
    }

    private static boolean plain(char found) {
        return found >= ' ' && found != '"' && found != '\\' && !Character.isSurrogate(found);
    }

    private char escaped() {
        if (at == text.length()) {
            throw wrong("a string has no end");
        }
        char found = text.charAt(at++);
        if (found == 'u') {
            int code = 0;
            for (int digits = 0; digits < 4; digits++) {
                int digit = at < text.length() ? digit(text.charAt(at)) : -1;
                if (digit < 0) {
                    throw wrong("\\u without four hexadecimal digits");
                }
                code = code * 16 + digit;
                at++;
            }
            return (char) code;
        }
        int place = "\"\\/bfnrt".indexOf(found);
        if (place < 0) {
            throw wrong("an unknown escape");
        }
        return "\"\\/\b\f\n\r\t".charAt(place);
    }

    private static int digit(char found) {
        return found < 128 ? Character.digit(found, 16) : -1; // digits of other scripts are none here
    }

    private String checked(String found) {
        for (int index = 0; index < found.length(); index++) {
            char one = found.charAt(index);
            boolean pair = Character.isHighSurrogate(one) && index + 1 < found.length() && Character.isLowSurrogate(found.charAt(index + 1));
            if (pair) {
                index++;
            } else if (Character.isSurrogate(one)) {
                throw wrong("half of a surrogate pair");
            }
        }
        return found;
    }

    private Object number() {
        int start = at;
        taken('-');
        if (!taken('0')) {
            digits();
        }
        boolean whole = true;
        if (taken('.')) {
            digits();
            whole = false;
        }
        if (taken('e') || taken('E')) {
            if (!taken('+')) {
                taken('-');
            }
            digits();
            whole = false;
        }
        String found = text.substring(start, at);
        if (whole && found.length() < 19) {
            return Long.valueOf(found);
        }
        double value = Double.parseDouble(found);
        if (Double.isInfinite(value)) {
            throw wrong("a number too large");
        }
        return value;
    }

    private void digits() {
        int start = at;
        while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
            at++;
        }
        if (at == start) {
            throw wrong("a value or a digit is missing");
        }
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw wrong("a value is missing");
        }
        at += word.length();
        return value;
    }

    private void skipBlanks() {
        while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private boolean taken(char wanted) {
        boolean there = at < text.length() && text.charAt(at) == wanted;
        if (there) {
            at++;
        }
        return there;
    }

    private void need(char wanted) {
        if (!taken(wanted)) {
            throw wrong("'" + wanted + "' is missing");
        }
    }

    private PackException wrong(String what) {
        return new PackException("not JSON at character " + at + ": " + what);
    }
}
