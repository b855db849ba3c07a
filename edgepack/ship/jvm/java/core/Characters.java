package edgepack.module;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * What Hugging Face's tokenizers holds each character to be, asked by `ship` and kept in characters.json.
 *
 * <p>Java's own tables would differ: each JVM and each Android has the Unicode version of its year.
 */
final class Characters {
    private final Map<String, CharClass> classes = new HashMap<>();
    private final Map<String, CharMap> maps = new HashMap<>();
    private final Map<Integer, Integer> order = new HashMap<>();
    private final Compositions compositions;

    Characters(Object json) {
        Fields content = new Fields(json, "characters.json");
        Fields entries = content.object("classes");
        for (String name : entries.names()) {
            classes.put(name, new CharClass(entries.wholes(name)));
        }
        Fields mapped = content.object("maps");
        for (String name : mapped.names()) {
            maps.put(name, new CharMap(mapped.list(name)));
        }
        compositions = new Compositions(content.list("composed"));
        List<?> marks = content.list("order");
        for (int index = 0; index + 1 < marks.size(); index += 2) {
            order.put(((Long) marks.get(index)).intValue(), ((Long) marks.get(index + 1)).intValue());
        }
    }

    CharClass kind(String name) {
        CharClass kind = classes.get(name);
        if (kind == null) {
            throw new PackException("characters.json lacks the class " + name + ": ship the pack again");
        }
        return kind;
    }

    CharMap map(String name) {
        CharMap map = maps.get(name);
        if (map == null) {
            throw new PackException("characters.json lacks the map " + name + ": ship the pack again");
        }
        return map;
    }

    Compositions compositions() {
        return compositions;
    }

    /** The canonical combining class that marks are ordered by; 0 for all that begin anew. */
    int order(int character) {
        return character < 0x300 ? 0 : order.getOrDefault(character, 0);
    }
}
