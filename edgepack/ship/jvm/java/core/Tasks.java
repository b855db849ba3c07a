package edgepack.module;

import java.util.ArrayList;
import java.util.List;

/** Outputs become answers: the decisions that the model was measured by, with scores and places. */
final class Tasks {
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
        double[] result = new double[count];
        double sum = 0;
        for (int index = 0; index < count; index++) {
            result[index] = Math.exp(logits[start + index] - peak);
            sum += result[index];
        }
        for (int index = 0; index < count; index++) {
            result[index] /= sum;
        }
        return result;
    }

    /** Scores of labels by the function that the pack states. */
    static double[] scores(float[] logits, Fields answers) {
        String function = answers == null ? "softmax" : answers.text("function");
        switch (function) {
            case "softmax":
                return softmax(logits, 0, logits.length);
            case "sigmoid":
            case "none":
                double[] result = new double[logits.length];
                for (int index = 0; index < result.length; index++) {
                    result[index] = function.equals("none") ? logits[index] : 1 / (1 + Math.exp(-logits[index]));
                }
                return result;
            default:
                throw answers.unknown("function");
        }
    }

    static Labels labels(float[] logits, Manifest manifest, boolean cut) {
        ManifestFields.checkLabels(manifest.labels, logits.length);
        double[] scores = scores(logits, manifest.answers);
        double[] least = manifest.answers != null && manifest.answers.yes("multi_label", false)
                ? manifest.answers.numbers("thresholds") : null;
        List<Integer> order = new ArrayList<>();
        for (int index = 0; index < logits.length; index++) {
            order.add(index);
        }
        order.sort((a, b) -> Double.compare(scores[b], scores[a])); // of equals the first stays the first
        List<Labels.Label> ranked = new ArrayList<>();
        List<String> names = new ArrayList<>();
        for (int index : order) {
            ranked.add(new Labels.Label(manifest.labels.get(index), (float) scores[index]));
            if (least == null ? names.isEmpty() : scores[index] >= least[index]) {
                names.add(manifest.labels.get(index));
            }
        }
        return new Labels(ranked, names, cut);
    }

    /** words: null where the tokenizer finds them. given: they are a list of the caller's. */
    static Entities entities(String text, Words words, boolean given, Encoding encoding, float[] logits, Tokenizer tokenizer, Tags tags,
            List<String> names) {
        ManifestFields.checkLabels(names, logits.length / Math.max(1, encoding.ids.length));
        int[] chars = Utf8.codePoints(text);
        List<Tags.Unit> units = new ArrayList<>();
        List<Integer> owners = new ArrayList<>();
        for (int position = 0; position < encoding.ids.length; position++) {
            if (encoding.parts[position] < 0) {
                continue;
            }
            int word = encoding.words[position];
            int shift = words == null ? 0 : text.codePointCount(0, words.spans.get(word)[0]);
            int start = encoding.starts[position] + shift;
            int end = encoding.ends[position] + shift;
            int id = encoding.ids[position];
            double[] scores = softmax(logits, position * names.size(), names.size());
            units.add(new Tags.Unit(start, end, scores, tags.goesOn(chars, start, end, tokenizer.token(id), id)));
            owners.add(word);
        }
        if (words != null && !(given && tags.words.equals("tokenizer")) && tags.byWord()) {
            units = wholeWords(text, words, units, owners, names);
        }
        List<Entities.Entity> result = new ArrayList<>();
        for (Tags.Tagged each : tags.entities(units, names)) {
            int start = text.offsetByCodePoints(0, each.start);
            int end = text.offsetByCodePoints(start, each.end - each.start);
            result.add(new Entities.Entity(each.kind, text.substring(start, end), start, end, (float) each.score));
        }
        return new Entities(result, encoding.cut);
    }

    /** The same tokens, which belong together as the words do; a word of which no token is left gets the tag O. */
    private static List<Tags.Unit> wholeWords(String text, Words words, List<Tags.Unit> units, List<Integer> owners, List<String> names) {
        double[] nothing = new double[names.size()];
        for (int label = 0; label < nothing.length; label++) {
            nothing[label] = names.get(label).equals("O") ? 1 : 0;
        }
        List<Tags.Unit> result = new ArrayList<>();
        int at = 0;
        for (int word = 0; word < words.spans.size(); word++) {
            int start = text.codePointCount(0, words.spans.get(word)[0]);
            int end = text.codePointCount(0, words.spans.get(word)[1]);
            while (at < owners.size() && owners.get(at) < word) {
                at++;
            }
            if (at == owners.size() || owners.get(at) != word) {
                result.add(new Tags.Unit(start, end, nothing, false));
            }
            for (boolean goesOn = false; at < owners.size() && owners.get(at) == word; at++) {
                result.add(new Tags.Unit(start, end, units.get(at).scores, goesOn));
                goesOn = true;
            }
        }
        return result;
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
