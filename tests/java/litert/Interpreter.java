package org.tensorflow.lite;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * For tests: LiteRT's Java API over a model that is a line of text: width of an output, rows per token or not, id of the padding.
 *
 * <p>Outputs hang on the token ids alone. What a real file of fixed lengths would not take is refused.
 */
public final class Interpreter implements AutoCloseable {
    /** As LiteRT's. */
    public static class Options {
        public Options setNumThreads(int threads) {
            return this;
        }
    }

    private final int width;
    private final boolean perToken;
    private final int padId;
    private boolean closed;

    public Interpreter(ByteBuffer model, Options options) {
        byte[] content = new byte[model.remaining()];
        model.duplicate().get(content);
        String[] parts = new String(content, StandardCharsets.UTF_8).trim().split(" ");
        width = Integer.parseInt(parts[0]);
        perToken = Boolean.parseBoolean(parts[1]);
        padId = Integer.parseInt(parts[2]);
    }

    public Tensor getOutputTensorFromSignature(String name, String signature) {
        int bucket = Integer.parseInt(signature.substring(1));
        return () -> perToken ? bucket * width : width;
    }

    public void runSignature(Map<String, Object> inputs, Map<String, Object> outputs, String signature) {
        int bucket = Integer.parseInt(signature.substring(1));
        int[] ids = row(inputs, "input_ids", bucket);
        int[] mask = row(inputs, "attention_mask", bucket);
        for (int index = 0; index < bucket; index++) {
            boolean padded = mask[index] == 0;
            need(index == 0 || mask[index] <= mask[index - 1], "the mask has holes");
            need(!padded || ids[index] == padId, "padding with another id");
        }
        int number = 0;
        for (Object output : outputs.values()) {
            FloatBuffer values = (FloatBuffer) output;
            for (int place = 0; place < values.capacity(); place++) {
                int at = place / width;
                values.put(place, (ids[at] * 7919 + (place % width + number) * 1299709 + at * 104729) % 1000003 / 100000f);
            }
            number++;
        }
    }

    private int[] row(Map<String, Object> inputs, String name, int bucket) {
        int[][] values = (int[][]) inputs.get(name);
        need(!closed && values.length == 1 && values[0].length == bucket, "an input of another shape, or after close()");
        return values[0];
    }

    private static void need(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(otherwise);
        }
    }

    @Override
    public void close() {
        closed = true;
    }
}
