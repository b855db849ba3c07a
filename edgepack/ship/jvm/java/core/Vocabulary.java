package edgepack.module;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The model's tokens by id and the other way round. */
final class Vocabulary {
    private final Map<String, Integer> ids = new HashMap<>();
    private final Map<Integer, String> texts = new HashMap<>();

    Vocabulary(Fields model) {
        if (model.text("type").equals("Unigram")) {
            List<?> entries = model.list("vocab");
            for (int id = 0; id < entries.size(); id++) {
                add((String) ((List<?>) entries.get(id)).get(0), id);
            }
        } else {
            Fields entries = model.object("vocab");
            for (String text : entries.names()) {
                add(text, entries.whole(text));
            }
        }
    }

    private void add(String text, int id) {
        ids.put(text, id);
        texts.put(id, text);
    }

    Iterable<Map.Entry<String, Integer>> entries() {
        return ids.entrySet();
    }

    /** -1 where the token is not known. */
    int id(String text) {
        return ids.getOrDefault(text, -1);
    }

    /** null where there is no such id. */
    String text(int id) {
        return texts.get(id);
    }
}
