package edgepack.module;

import java.util.ArrayList;
import java.util.List;

/**
 * What a model's folder says of its next token, before one is chosen: penalties, and tokens that are forced or forbidden.
 *
 * <p>Order and arithmetic are those of transformers' generation/logits_process.py, in 32 bits.
 */
final class Penalties {
    private final Fields answers;
    private final int prompt;
    private final int most;
    private final int[] stopIds;
    private final List<int[]> sequences = new ArrayList<>();
    private final List<Float> biases = new ArrayList<>();
    private final List<int[]> bad = new ArrayList<>();
    private final List<Float> never = new ArrayList<>();

    /** answers: the manifest's, or null; most: of tokens, the prompt's among them. */
    Penalties(Fields answers, int prompt, int most, int[] stopIds) {
        this.answers = answers;
        this.prompt = prompt;
        this.most = most;
        this.stopIds = stopIds;
        if (stated("sequence_bias")) {
            for (Object each : answers.list("sequence_bias")) {
                List<?> pair = (List<?>) each;
                sequences.add(ids((List<?>) pair.get(0)));
                biases.add(((Number) pair.get(1)).floatValue());
            }
        }
        if (stated("bad_words_ids")) {
            for (Object each : answers.list("bad_words_ids")) {
                int[] ids = ids((List<?>) each);
                if (ids.length != 1 || !among(stopIds, ids[0])) {
                    bad.add(ids);
                    never.add(Float.NEGATIVE_INFINITY);
                }
            }
        }
    }

    /** New logits where something changes; the same array where nothing can. ids: all so far, `count` of them. */
    float[] adjusted(float[] logits, int[] ids, int count) {
        if (answers == null) {
            return logits;
        }
        float[] scores = logits.clone();
        bias(scores, ids, count, sequences, biases);
        repetition(scores, ids, count, (float) number("repetition_penalty", 1));
        ngrams(scores, ids, count, whole("no_repeat_ngram_size"));
        bias(scores, ids, count, bad, never);
        if (count < whole("min_length") || count - prompt < whole("min_new_tokens")) {
            forbid(scores, stopIds);
        }
        if (stated("forced_bos_token_id") && count == 1) {
            only(scores, answers.whole("forced_bos_token_id"));
        }
        if (stated("forced_eos_token_id") && count == most - 1) {
            only(scores, answers.wholes("forced_eos_token_id"));
        }
        if (stated("exponential_decay_length_penalty")) {
            decay(scores, count);
        }
        if (stated("suppress_tokens")) {
            forbid(scores, answers.wholes("suppress_tokens"));
        }
        int begin = prompt + (prompt > 1 || !stated("forced_bos_token_id") ? 0 : 1);
        if (stated("begin_suppress_tokens") && count == begin) {
            forbid(scores, answers.wholes("begin_suppress_tokens"));
        }
        return scores;
    }

    private static void repetition(float[] scores, int[] ids, int count, float penalty) {
        if (penalty == 1) {
            return;
        }
        boolean[] known = new boolean[scores.length];
        for (int index = 0; index < count; index++) {
            int id = ids[index];
            if (id < scores.length && !known[id]) {
                known[id] = true;
                scores[id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty;
            }
        }
    }

    private static void ngrams(float[] scores, int[] ids, int count, int size) {
        for (int start = 0; size > 0 && start + size <= count; start++) {
            boolean same = true;
            for (int index = 0; same && index < size - 1; index++) {
                same = ids[start + index] == ids[count + 1 - size + index];
            }
            int last = ids[start + size - 1];
            if (same && last < scores.length) {
                scores[last] = Float.NEGATIVE_INFINITY;
            }
        }
    }

    private void decay(float[] scores, int count) {
        List<?> stated = answers.list("exponential_decay_length_penalty");
        int start = ((Number) stated.get(0)).intValue() + prompt;
        if (count > start) {
            float factor = (float) (Math.pow(((Number) stated.get(1)).doubleValue(), count - start) - 1);
            for (int stop : stopIds) {
                scores[stop] += Math.abs(scores[stop]) * factor;
            }
        }
    }

    /** Adds to the last token of every sequence whose other tokens are the last of `ids`. */
    private static void bias(float[] scores, int[] ids, int count, List<int[]> sequences, List<Float> values) {
        if (sequences.isEmpty()) {
            return;
        }
        float[] added = new float[scores.length];
        for (int round = 0; round < 2; round++) { // single tokens first: of those the last bias counts
            for (int index = 0; index < sequences.size(); index++) {
                int[] sequence = sequences.get(index);
                int before = sequence.length - 1;
                boolean same = before <= count && before > 0 == (round > 0);
                for (int place = 0; same && place < before; place++) {
                    same = sequence[place] == ids[count - before + place];
                }
                if (same) {
                    added[sequence[before]] = values.get(index) + (before > 0 ? added[sequence[before]] : 0);
                }
            }
        }
        for (int token = 0; token < scores.length; token++) {
            scores[token] += added[token];
        }
    }

    private static void forbid(float[] scores, int[] tokens) {
        for (int token : tokens) {
            scores[token] = Float.NEGATIVE_INFINITY;
        }
    }

    private static void only(float[] scores, int... tokens) {
        java.util.Arrays.fill(scores, Float.NEGATIVE_INFINITY);
        for (int token : tokens) {
            scores[token] = 0;
        }
    }

    private boolean stated(String name) {
        return answers != null && answers.has(name);
    }

    private double number(String name, double otherwise) {
        return stated(name) ? answers.number(name) : otherwise;
    }

    private int whole(String name) {
        return stated(name) ? answers.whole(name) : 0;
    }

    private static int[] ids(List<?> values) {
        int[] result = new int[values.size()];
        for (int index = 0; index < result.length; index++) {
            result[index] = ((Number) values.get(index)).intValue();
        }
        return result;
    }

    static boolean among(int[] values, int wanted) {
        for (int value : values) {
            if (value == wanted) {
                return true;
            }
        }
        return false;
    }
}
