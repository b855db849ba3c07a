package edgepack.module;

import java.io.IOException;
import java.nio.Buffer; // its methods under its own name: FloatBuffer's own came with later Androids
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.tensorflow.lite.Interpreter;

/** Runs the model in LiteRT, by the signature of the shortest of the file's lengths that holds a text. One text at a time. */
public final class LiteRt implements ModelRuntime {
    private final Interpreter interpreter;
    private final Manifest manifest;
    private final ByteBuffer model; // the interpreter reads it as long as it lives

    private LiteRt(ModuleFiles files, Manifest manifest, int threads) throws IOException {
        this.manifest = manifest;
        this.model = Weights.of(files, manifest, manifest.model, threads);
        this.interpreter = new Interpreter(model, new Interpreter.Options().setNumThreads(threads));
    }

    /** An {@link ModelRuntime.Opener}. */
    public static ModelRuntime open(ModuleFiles files, Manifest manifest, int threads) {
        try {
            return new LiteRt(files, manifest, threads);
        } catch (IOException | IllegalArgumentException | IllegalStateException error) {
            throw new PackException("LiteRT cannot open " + manifest.model + ": " + error.getMessage(), error);
        }
    }

    @Override
    public synchronized float[][] run(int[] ids, int[] typeIds) {
        int bucket = bucket(ids.length);
        String signature = "s" + bucket;
        Map<String, Object> inputs = new HashMap<>();
        for (String name : manifest.inputs) {
            inputs.put(name, new int[][] {padded(name, ids, typeIds, bucket)});
        }
        Map<String, Object> outputs = new LinkedHashMap<>();
        for (String name : manifest.outputs) {
            int values = interpreter.getOutputTensorFromSignature(name, signature).numElements();
            outputs.put(name, ByteBuffer.allocateDirect(values * 4).order(ByteOrder.nativeOrder()).asFloatBuffer());
        }
        interpreter.runSignature(inputs, outputs, signature);
        float[][] arrays = new float[outputs.size()][];
        int index = 0;
        for (Object output : outputs.values()) {
            FloatBuffer values = (FloatBuffer) output;
            ((Buffer) values).rewind();
            int count = manifest.perToken ? values.capacity() / bucket * ids.length : values.capacity();
            arrays[index] = new float[count];
            values.get(arrays[index++]);
        }
        return arrays;
    }

    private int[] padded(String name, int[] ids, int[] typeIds, int bucket) {
        int[] values = new int[bucket];
        if (name.equals("attention_mask")) {
            Arrays.fill(values, 0, ids.length, 1);
            return values;
        }
        boolean isIds = name.equals("input_ids");
        Arrays.fill(values, isIds ? manifest.padId : 0);
        System.arraycopy(isIds ? ids : typeIds, 0, values, 0, ids.length);
        return values;
    }

    private int bucket(int length) {
        for (int bucket : manifest.buckets) {
            if (bucket >= length) {
                return bucket;
            }
        }
        throw new IllegalArgumentException("a text of " + length + " tokens is longer than every length of the file");
    }

    @Override
    public ModelDecoder decoder(int positions) {
        throw new IllegalStateException("a TFLite pack writes no text");
    }

    @Override
    public synchronized void close() {
        interpreter.close();
    }
}
