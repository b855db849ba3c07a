package edgepack.module;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Which two characters become one in NFC. */
final class Compositions {
    private final Map<Long, Integer> pairs = new HashMap<>();

    /** entries: the composed character and its two parts as text, in turn. */
    Compositions(List<?> entries) {
        for (int index = 0; index + 1 < entries.size(); index += 2) {
            int[] parts = ((String) entries.get(index + 1)).codePoints().toArray();
            pairs.put(key(parts[0], parts[1]), ((Long) entries.get(index)).intValue());
        }
    }

    /** The composed character, -1 where there is none. */
    int get(int first, int second) {
        return pairs.getOrDefault(key(first, second), -1);
    }

    private static long key(int first, int second) {
        return (long) first << 21 | second;
    }
}
