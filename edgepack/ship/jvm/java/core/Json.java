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
        Map<String, Object> result = new LinkedHashMap<>();
        at++;
        skipBlanks();
        if (skips('}')) {
            return result;
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
            if (result.containsKey(key)) {
                throw wrong("the key \"" + key + "\" stands twice");
            }
            result.put(key, value);
            skipBlanks();
        } while (skips(','));
        need('}');
        return result;
    }

    private List<Object> array(int depth) {
        List<Object> result = new ArrayList<>();
        at++;
        skipBlanks();
        if (skips(']')) {
            return result;
        }
        do {
            skipBlanks();
            result.add(value(depth + 1));
            skipBlanks();
        } while (skips(','));
        need(']');
        return result;
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
            char next = text.charAt(at++);
            if (next < ' ') {
                throw wrong("a control character in a string");
            }
            built.append(next == '\\' ? escaped() : next);
        }
        need('"');
        return checked(built.toString());
    }

    private static boolean plain(char character) {
        return character >= ' ' && character != '"' && character != '\\' && !Character.isSurrogate(character);
    }

    private char escaped() {
        if (at == text.length()) {
            throw wrong("a string has no end");
        }
        char next = text.charAt(at++);
        if (next == 'u') {
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
        int place = "\"\\/bfnrt".indexOf(next);
        if (place < 0) {
            throw wrong("an unknown escape");
        }
        return "\"\\/\b\f\n\r\t".charAt(place);
    }

    private static int digit(char character) {
        return character < 128 ? Character.digit(character, 16) : -1; // digits of other scripts are none here
    }

    private String checked(String text) {
        for (int index = 0; index < text.length(); index++) {
            char character = text.charAt(index);
            boolean pair = Character.isHighSurrogate(character) && index + 1 < text.length() && Character.isLowSurrogate(text.charAt(index + 1));
            if (pair) {
                index++;
            } else if (Character.isSurrogate(character)) {
                throw wrong("half of a surrogate pair");
            }
        }
        return text;
    }

    private Object number() {
        int start = at;
        skips('-');
        if (!skips('0')) {
            digits();
        }
        boolean whole = true;
        if (skips('.')) {
            digits();
            whole = false;
        }
        if (skips('e') || skips('E')) {
            if (!skips('+')) {
                skips('-');
            }
            digits();
            whole = false;
        }
        String number = text.substring(start, at);
        if (whole && number.length() < 19) {
            return Long.valueOf(number);
        }
        double value = Double.parseDouble(number);
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

    private boolean skips(char wanted) {
        boolean there = at < text.length() && text.charAt(at) == wanted;
        if (there) {
            at++;
        }
        return there;
    }

    private void need(char wanted) {
        if (!skips(wanted)) {
            throw wrong("'" + wanted + "' is missing");
        }
    }

    private PackException wrong(String what) {
        return new PackException("not JSON at character " + at + ": " + what);
    }
}
