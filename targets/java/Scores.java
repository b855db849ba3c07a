package edgepack.module;

import java.util.ArrayList;
import java.util.List;

/** Outputs as they go home. */
final class Scores {
    private Scores() {}

    /** One text's arrays as nested lists: several outputs of one shape as one, along a new last axis. */
    static List<Object> nested(float[][] arrays, int rows, boolean perToken) {
        int width = arrays[0].length / rows;
        List<Object> result = new ArrayList<>();
        for (int row = 0; row < rows; row++) {
            List<Object> values = new ArrayList<>();
            for (int column = 0; column < width; column++) {
                values.add(at(arrays, row * width + column));
            }
            result.add(perToken && arrays.length > 1 && width == 1 ? values.get(0) : values);
        }
        return perToken ? result : asList(result.get(0));
    }

    private static Object at(float[][] arrays, int index) {
        if (arrays.length == 1) {
            return (double) arrays[0][index];
        }
        List<Object> together = new ArrayList<>();
        for (float[] array : arrays) {
            together.add((double) array[index]);
        }
        return together;
    }

    @SuppressWarnings("unchecked")
    private static List<Object> asList(Object value) {
        return (List<Object>) value;
    }

    /** Next-token logits become the true next token's negative log-likelihood and the likeliest token: two numbers a token. */
    static List<Object> reduced(float[] logits, int[] ids) {
        int vocab = logits.length / ids.length;
        List<Object> result = new ArrayList<>();
        for (int at = 0; at < ids.length - 1; at++) {
            int likeliest = 0;
            for (int index = 1; index < vocab; index++) {
                likeliest = logits[at * vocab + index] > logits[at * vocab + likeliest] ? index : likeliest;
            }
            double peak = logits[at * vocab + likeliest];
            double sum = 0;
            for (int index = 0; index < vocab; index++) {
                sum += Math.exp(logits[at * vocab + index] - peak);
            }
            List<Object> pair = new ArrayList<>();
            pair.add(Math.log(sum) + peak - logits[at * vocab + ids[at + 1]]);
            pair.add((double) likeliest);
            result.add(pair);
        }
        return result;
    }
}
