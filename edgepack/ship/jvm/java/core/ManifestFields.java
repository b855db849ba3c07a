package edgepack.module;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiConsumer;

/**
 * What module.json must state, looked at once, before anything of it is used: a field that is missing or wrong is named.
 *
 * <p>The same as targets/module/manifest.py.
 */
final class ManifestFields {
    private static final String AGAIN = ": install the app again";
    private static final Object MISSING = new Object();
    private static final Map<String, String> SHOWN = new HashMap<>();

    static {
        String[] shown = {
            "1", "1, which is all that this code reads", "text", "a text", "file", "a plain file name", "hash", "a sha256",
            "yes", "true or false", "integer", "a whole number", "whole", "a whole number from 0 to " + Integer.MAX_VALUE,
            "size", "a number of bytes", "number", "a number", "list", "a list", "list+", "a list with something in it",
            "pair", "a list of two", "object", "an object",
        };
        for (int at = 0; at < shown.length; at += 2) {
            SHOWN.put(shown[at], shown[at + 1]);
        }
    }

    private ManifestFields() {}

    /** manifest: the whole of module.json. PackException names the first field that is missing or wrong. */
    static void check(Map<?, ?> manifest) {
        for (String line : ManifestTable.FIELDS) {
            check(manifest, line.split(" "));
        }
        Map<?, ?> answers = manifest.get("answers") == null ? new HashMap<>() : (Map<?, ?>) manifest.get("answers");
        numbering((Map<?, ?>) manifest.get("labels"), answers);
        codes(answers);
        opened(manifest);
    }

    /** What will be opened stands among the listed files: else no hash would be compared. */
    private static void opened(Map<?, ?> manifest) {
        Set<Object> listed = new HashSet<>();
        for (Object entry : (List<?>) manifest.get("files")) {
            listed.add(((Map<?, ?>) entry).get("name"));
        }
        Map<?, ?> coded = (Map<?, ?>) manifest.get("coded");
        List<Object> needed = new ArrayList<>(Arrays.asList("tokenizer.json"));
        if (coded != null) {
            needed.add(coded.get("coded"));
        }
        if (coded == null || !coded.get("file").equals(manifest.get("model"))) {
            needed.add(manifest.get("model"));
        }
        for (Object name : needed) {
            if (!listed.contains(name)) {
                throw new PackException("module.json lists no " + name + AGAIN);
            }
        }
    }

    private static void check(Map<?, ?> manifest, String[] line) {
        if (line.length > 2) {
            String[] condition = line[2].split("=");
            if (!condition[1].equals(manifest.get(condition[0]))) {
                return;
            }
        }
        boolean mayBeMissing = line[0].endsWith("?");
        boolean mayBeNull = line[1].endsWith("?");
        String kind = mayBeNull ? line[1].substring(0, line[1].length() - 1) : line[1];
        String path = mayBeMissing ? line[0].substring(0, line[0].length() - 1) : line[0];
        each(manifest, "module.json", path.split("\\."), 0, (place, value) -> {
            if (value == MISSING) {
                if (!mayBeMissing && !mayBeNull) {
                    throw new PackException(place + " is missing" + AGAIN);
                }
            } else if (!(value == null && mayBeNull) && !is(value, kind)) {
                String wanted = SHOWN.containsKey(kind) ? SHOWN.get(kind) : "one of these: " + kind.replace("|", ", ");
                throw new PackException(place + " is not " + wanted + AGAIN);
            }
        });
    }

    /** Gives each place and value that the path leads to; MISSING where its last part leads to nothing. */
    private static void each(Object value, String place, String[] path, int at, BiConsumer<String, Object> look) {
        if (at == path.length) {
            look.accept(place, value);
        } else if (value instanceof List) {
            List<?> list = (List<?>) value;
            boolean all = path[at].equals("*");
            int first = all ? 0 : Integer.parseInt(path[at]);
            for (int index = first; index < (all ? list.size() : first + 1); index++) {
                each(index < list.size() ? list.get(index) : MISSING, place + "[" + index + "]", path, at + 1, look);
            }
        } else if (value instanceof Map) {
            Map<?, ?> map = (Map<?, ?>) value;
            for (Object key : path[at].equals("*") ? new ArrayList<Object>(map.keySet()) : Arrays.<Object>asList(path[at])) {
                each(map.containsKey(key) ? map.get(key) : MISSING, place + "." + key, path, at + 1, look);
            }
        }
    }

    /** PackException where the model gives a score for more or fewer labels than module.json names. */
    static void checkLabels(List<String> labels, int count) {
        if (labels.size() != count) {
            throw new PackException("module.json names " + labels.size() + " labels, and the model gives " + count + " scores" + AGAIN);
        }
    }

    private static boolean is(Object value, String kind) {
        switch (kind) {
            case "1":
                return Long.valueOf(1).equals(value);
            case "text":
                return value instanceof String;
            case "file":
                return value instanceof String && ((String) value).matches("[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}");
            case "hash":
                return value instanceof String && ((String) value).matches("[0-9a-f]{64}");
            case "yes":
                return value instanceof Boolean;
            case "integer":
                return isWhole(value, -Integer.MAX_VALUE, Integer.MAX_VALUE);
            case "whole":
                return isWhole(value, 0, Integer.MAX_VALUE);
            case "size":
                return isWhole(value, 0, (1L << 53) - 1);
            case "number":
                return value instanceof Number && Math.abs(((Number) value).doubleValue()) < 1e300;
            case "list":
                return value instanceof List;
            case "list+":
                return value instanceof List && !((List<?>) value).isEmpty();
            case "pair":
                return value instanceof List && ((List<?>) value).size() == 2;
            case "object":
                return value instanceof Map;
            default:
                return value instanceof String && Arrays.asList(kind.split("\\|")).contains(value);
        }
    }

    private static boolean isWhole(Object value, long least, long most) {
        return value instanceof Long && (Long) value >= least && (Long) value <= most;
    }

    private static void numbering(Map<?, ?> labels, Map<?, ?> answers) {
        for (int index = 0; index < labels.size(); index++) {
            if (!labels.containsKey(String.valueOf(index))) {
                throw new PackException(
                        "module.json.labels has " + labels.size() + " labels, and none with the number " + index + AGAIN);
            }
        }
        List<?> thresholds = (List<?>) answers.get("thresholds");
        if (Boolean.TRUE.equals(answers.get("multi_label")) && (thresholds == null || thresholds.size() != labels.size())) {
            throw new PackException("module.json.answers.thresholds is not one number for each label" + AGAIN);
        }
    }

    private static void codes(Map<?, ?> answers) {
        Map<?, ?> codes = (Map<?, ?>) answers.get("codes");
        if (codes == null) {
            return;
        }
        int width = ((List<?>) codes.get("low")).size();
        List<?> thresholds = (List<?>) codes.get("thresholds");
        boolean whole = ((List<?>) codes.get("high")).size() == width && (thresholds == null || thresholds.size() == width);
        if (!whole || (thresholds == null && codes.get("kind").equals("binary")) || !answers.containsKey("similarity")) {
            throw new PackException(
                    "module.json.answers.codes does not state each dimension, or no similarity stands beside it" + AGAIN);
        }
    }
}
