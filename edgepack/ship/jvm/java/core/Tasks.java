package edgepack.module;

import java.util.ArrayList;
import java.util.List;

/** Outputs become answers: the decisions that the model was measured by, with scores and places. */
final class Tasks {
    private static final int BEST_STARTS = 20;
    private static final int LONGEST_ANSWER = 30; // tokens, as when the model was measured

    private Tasks() {}

    /** The place of the largest of `count` values from `start` on, the first of equals; counted from `start`. */
    static int best(float[] values, int start, int count) {
        int best = 0;
        for (int index = 1; index < count; index++) {
            if (values[start + index] > values[start + best]) {
                best = index;
            }
        }
        return best;
    }

    static double[] softmax(float[] logits, int start, int count) {
        double peak = logits[start + best(logits, start, count)];
        double[] found = new double[count];
        double sum = 0;
        for (int index = 0; index < count; index++) {
            found[index] = Math.exp(logits[start + index] - peak);
            sum += found[index];
        }
        for (int index = 0; index < count; index++) {
            found[index] /= sum;
        }
        return found;
    }

    static Labels labels(float[] logits, List<String> names, boolean cut) {
        double[] chances = softmax(logits, 0, logits.length);
        List<Labels.Label> found = new ArrayList<>();
        for (int index = 0; index < logits.length; index++) {
            int at = found.size();
            while (at > 0 && found.get(at - 1).score < (float) chances[index]) {
                at--;
            }
            found.add(at, new Labels.Label(names.get(index), (float) chances[index]));
        }
        return new Labels(found, cut);
    }

    /** A word's tag is that of its first token; words cut off have none. */
    static Entities entities(String text, Words words, Encoding encoding, float[] logits, List<String> names) {
        String[] tags = new String[words.texts.size()];
        double[] scores = new double[tags.length];
        java.util.Arrays.fill(tags, "O");
        for (int position = encoding.words.length - 1; position >= 0; position--) {
            int word = encoding.words[position];
            if (word >= 0) {
                double[] chances = softmax(logits, position * names.size(), names.size());
                int tag = best(logits, position * names.size(), names.size());
                tags[word] = names.get(tag);
                scores[word] = chances[tag];
            }
        }
        return new Entities(spans(text, words, tags, scores), encoding.cut);
    }

    /** IOB2: every B- opens an entity, so does an I- of another kind. */
    private static List<Entities.Entity> spans(String text, Words words, String[] tags, double[] scores) {
        List<Entities.Entity> found = new ArrayList<>();
        int start = -1;
        for (int word = 0; word <= tags.length; word++) {
            String tag = word < tags.length ? tags[word] : "O";
            boolean inside = tag.startsWith("I-");
            if (start >= 0 && !(inside && kind(tag).equals(kind(tags[start])))) {
                found.add(entity(text, words, kind(tags[start]), start, word, scores));
                start = -1;
            }
            if (start < 0 && (inside || tag.startsWith("B-"))) {
                start = word;
            }
        }
        return found;
    }

    private static String kind(String tag) {
        return tag.substring(2);
    }

    private static Entities.Entity entity(String text, Words words, String kind, int first, int past, double[] scores) {
        int start = words.spans.get(first)[0];
        int end = words.spans.get(past - 1)[1];
        double sum = 0;
        for (int word = first; word < past; word++) {
            sum += scores[word];
        }
        return new Entities.Entity(kind, text.substring(start, end), start, end, (float) (sum / (past - first)));
    }

    /** The span with the highest sum of start and end logits over all windows (Devlin 2019). outputs: for each, starts and ends. */
    static Answer answer(String context, List<Encoding> windows, List<float[][]> outputs) {
        double best = Double.NEGATIVE_INFINITY;
        int from = 0;
        int to = 0;
        LogSum starts = new LogSum();
        LogSum ends = new LogSum();
        for (int window = 0; window < windows.size(); window++) {
            Encoding encoding = windows.get(window);
            float[] start = inside(outputs.get(window)[0], encoding, starts);
            float[] end = inside(outputs.get(window)[1], encoding, ends);
            boolean[] tried = new boolean[start.length];
            for (int round = 0; round < Math.min(BEST_STARTS, start.length); round++) {
                int first = largest(start, tried);
                tried[first] = true;
                int last = first + best(end, first, Math.min(LONGEST_ANSWER, end.length - first));
                double sum = (double) start[first] + end[last];
                if (encoding.parts[first] == 1 && encoding.parts[last] == 1 && sum > best) {
                    best = sum;
                    from = encoding.starts[first];
                    to = encoding.ends[last];
                }
            }
        }
        if (best == Double.NEGATIVE_INFINITY) {
            return new Answer("", 0, 0, 0);
        }
        int start = context.offsetByCodePoints(0, from);
        int end = context.offsetByCodePoints(start, to - from);
        return new Answer(context.substring(start, end), start, end, (float) Math.exp(best - starts.value() - ends.value()));
    }

    private static float[] inside(float[] logits, Encoding encoding, LogSum sum) {
        float[] found = new float[logits.length];
        for (int index = 0; index < found.length; index++) {
            boolean there = encoding.parts[index] == 1;
            found[index] = there ? logits[index] : Float.NEGATIVE_INFINITY;
            if (there) {
                sum.add(logits[index]);
            }
        }
        return found;
    }

    private static int largest(float[] values, boolean[] tried) {
        int found = -1;
        for (int index = 0; index < values.length; index++) {
            if (!tried[index] && (found < 0 || values[index] > values[found])) {
                found = index;
            }
        }
        return found;
    }

    /** The logarithm of a sum of exponentials, value by value. */
    static final class LogSum {
        private double peak = Double.NEGATIVE_INFINITY;
        private double sum;

        void add(double value) {
            if (value > peak) {
                sum *= Math.exp(peak - value);
                peak = value;
            }
            sum += Math.exp(value - peak);
        }

        double value() {
            return peak + Math.log(sum);
        }
    }
}
