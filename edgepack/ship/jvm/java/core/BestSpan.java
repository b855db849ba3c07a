package edgepack.module;

import java.util.List;

/** The answer to a question in a context: the best span over all windows, or none where the model may give none. */
final class BestSpan {
    private static final int BEST_STARTS = 20;
    private static final int LONGEST_ANSWER = 30; // tokens, as when the model was measured
    private static final int STRIDE = 64;

    private BestSpan() {}

    /** Tokens that two windows of a long context share, as when the model was measured. */
    static int stride(Manifest manifest) {
        Fields answers = manifest.answers;
        return Math.min(answers != null && answers.has("stride") ? answers.whole("stride") : STRIDE, manifest.maxLength / 4);
    }

    /**
     * The span with the highest sum of start and end logits over all windows (Devlin 2019). outputs: for each, starts and ends.
     *
     * <p>No answer: the first token's logits, the least of all windows, are above that sum by more than the manifest's threshold. An older
     * pack may state none: then there always is an answer, as when it was measured.
     */
    static Answer answer(Manifest manifest, String context, List<Encoding> windows, List<float[][]> outputs) {
        Fields answers = manifest.answers;
        int longest = answers != null && answers.has("longest") ? answers.whole("longest") : LONGEST_ANSWER;
        double best = Double.NEGATIVE_INFINITY;
        double none = Double.POSITIVE_INFINITY;
        int from = 0;
        int to = 0;
        Tasks.LogSum starts = new Tasks.LogSum();
        Tasks.LogSum ends = new Tasks.LogSum();
        for (int window = 0; window < windows.size(); window++) {
            Encoding encoding = windows.get(window);
            float[][] output = outputs.get(window);
            none = Math.min(none, (double) output[0][0] + output[1][0]);
            float[] start = inside(output[0], encoding, starts);
            float[] end = inside(output[1], encoding, ends);
            boolean[] tried = new boolean[start.length];
            for (int round = 0; round < Math.min(BEST_STARTS, start.length); round++) {
                int first = largest(start, tried);
                tried[first] = true;
                int last = first + Tasks.best(end, first, Math.min(longest, end.length - first));
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
        boolean mayBeNone = answers != null && answers.yes("no_answer", false) && answers.has("threshold");
        if (mayBeNone && none - best > answers.number("threshold")) {
            return new Answer("", 0, 0, (float) (1 / (1 + Math.exp(best - none))));
        }
        int start = context.offsetByCodePoints(0, from);
        int end = context.offsetByCodePoints(start, to - from);
        return new Answer(context.substring(start, end), start, end, (float) Math.exp(best - starts.value() - ends.value()));
    }

    private static float[] inside(float[] logits, Encoding encoding, Tasks.LogSum sum) {
        float[] result = new float[logits.length];
        for (int index = 0; index < result.length; index++) {
            boolean there = encoding.parts[index] == 1;
            result[index] = there ? logits[index] : Float.NEGATIVE_INFINITY;
            if (there) {
                sum.add(logits[index]);
            }
        }
        return result;
    }

    private static int largest(float[] values, boolean[] tried) {
        int best = -1;
        for (int index = 0; index < values.length; index++) {
            if (!tried[index] && (best < 0 || values[index] > values[best])) {
                best = index;
            }
        }
        return best;
    }
}
