package edgepack.module;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The golden outputs in the runtime's place, for the code that makes token ids of texts and decisions of outputs: what it decides then
 * hangs on no rounding of this processor.
 */
final class Replay implements Asking.Outputs {
    private static final double SCORE_GAP = 1e-4; // of a score of the same outputs: devices round in float or in double

    private final Manifest manifest;
    private final Asking asking;
    private final boolean readsTypes;
    private final Map<String, List<?>> known = new HashMap<>();
    private final List<Encoding> asked = new ArrayList<>();
    private List<?> some = Collections.emptyList();
    private boolean whole;

    Replay(Manifest manifest, Asking asking, List<Fields> golden) {
        this.manifest = manifest;
        this.asking = asking;
        readsTypes = manifest.inputs.contains("token_type_ids");
        for (Fields entry : golden) {
            some = entry.list("output");
            known.put(key(entry.wholes("input_ids"), entry.wholes("token_type_ids")), some);
        }
    }

    private String key(int[] ids, int[] types) {
        return Arrays.toString(ids) + (readsTypes ? Arrays.toString(types) : "");
    }

    /** The golden outputs of these ids, and zeros for ids that no entry has. */
    @Override
    public float[][] of(Encoding encoding) {
        asked.add(encoding);
        List<?> rows = known.get(key(encoding.ids, encoding.typeIds));
        whole &= rows != null;
        int tall = rows != null ? rows.size() : manifest.perToken ? encoding.ids.length : some.size();
        int wide = some.get(0) instanceof List ? ((List<?>) some.get(0)).size() : 1;
        int count = manifest.outputs.size();
        float[][] arrays = new float[count][tall * wide / count];
        for (int row = 0; rows != null && row < tall; row++) {
            for (int column = 0; column < wide; column++) {
                Object value = rows.get(row) instanceof List ? ((List<?>) rows.get(row)).get(column) : rows.get(row);
                float number = ((Number) value).floatValue();
                if (count > 1) {
                    arrays[column][row] = number;
                } else {
                    arrays[0][row * wide + column] = number;
                }
            }
        }
        return arrays;
    }

    /** What this device makes otherwise of an entry with a text: token ids, token types, or the decision. null: nothing. */
    String differs(Fields entry) {
        asked.clear();
        whole = true;
        boolean isEqual;
        try {
            isEqual = decides(entry);
        } catch (IllegalArgumentException refused) {
            isEqual = !entry.has("answer");
        }
        int[] ids = entry.wholes("input_ids");
        boolean hasIds = false;
        boolean typed = false;
        for (Encoding encoding : asked) {
            hasIds |= Arrays.equals(encoding.ids, ids);
            typed |= Arrays.equals(encoding.ids, ids) && Arrays.equals(encoding.typeIds, entry.wholes("token_type_ids"));
        }
        if (!hasIds || entry.has("answer") && !whole) {
            return "token ids";
        }
        return readsTypes && !typed ? "token types" : isEqual ? null : "decision";
    }

    /** Whether the decision is that of the entry, where it states one. */
    private boolean decides(Fields entry) {
        Fields answer = entry.has("answer") ? entry.object("answer") : null;
        String text = entry.has("words") ? String.join(" ", entry.texts("words")) : entry.text("text");
        String pair = entry.has("text_pair") ? entry.text("text_pair") : null;
        switch (manifest.task) {
            case "text-classification":
                Labels labels = asking.classify(text, pair, this);
                return answer == null || same(answer, labels);
            case "token-classification":
                Entities entities = entry.has("words") ? asking.entities(entry.texts("words"), this) : asking.entities(text, this);
                return answer == null || same(answer.objects("entities"), entities.entities, text);
            case "question-answering":
                String context = pair == null ? "" : pair;
                Answer span = asking.answer(text, context, this);
                return answer == null || at(answer, context, span.text, span.start, span.end, span.score);
            default:
                // older packs hold texts behind their prompt, and state no name of one
                String prompt = entry.has("prompt") ? entry.text("prompt") : entry.states("prompt") ? null : "";
                Vector vector = asking.embed(text, prompt, this);
                return answer == null || answer.whole("dimensions") == vector.values.length && sameCodes(answer, vector.codes);
        }
    }

    private boolean sameCodes(Fields answer, byte[] codes) {
        if (!answer.has("codes")) {
            return true;
        }
        int[] expected = answer.wholes("codes");
        boolean equal = codes != null && codes.length == expected.length;
        for (int at = 0; equal && at < codes.length; at++) {
            equal = expected[at] == (asking.codes.isBinary() ? codes[at] & 0xFF : codes[at]);
        }
        return equal;
    }

    private static boolean same(Fields answer, Labels actual) {
        boolean equal = answer.text("label").equals(actual.label) && answer.texts("chosen").equals(actual.chosen);
        Fields scores = answer.object("scores");
        for (Labels.Label label : actual.scores) {
            equal &= !scores.has(label.name) || isNear(scores.number(label.name), label.score);
        }
        return equal;
    }

    private static boolean same(List<Fields> expected, List<Entities.Entity> actual, String text) {
        boolean equal = expected.size() == actual.size();
        for (int index = 0; equal && index < actual.size(); index++) {
            Entities.Entity entity = actual.get(index);
            equal = expected.get(index).text("kind").equals(entity.kind)
                    && at(expected.get(index), text, entity.text, entity.start, entity.end, entity.score);
        }
        return equal;
    }

    /** Places of golden answers are counted in code points. */
    private static boolean at(Fields expected, String whole, String text, int start, int end, double score) {
        return expected.text("text").equals(text) && isNear(expected.number("score"), score)
                && expected.whole("start") == whole.codePointCount(0, start) && expected.whole("end") == whole.codePointCount(0, end);
    }

    private static boolean isNear(double expected, double actual) {
        return Math.abs(expected - actual) <= SCORE_GAP * Math.max(1, Math.abs(expected));
    }
}
