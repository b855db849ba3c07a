package edgepack.module;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OnnxValue;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/** A session that remembers: keys and values of all positions lie in one buffer a layer, read and written in place. */
final class OnnxDecoder implements ModelDecoder {
    private final OnnxRuntime runtime;
    private final int positions;
    private final Map<String, OnnxTensor> past = new LinkedHashMap<>();
    private final Map<String, OnnxValue> present = new LinkedHashMap<>();
    int length; // of what was read: set it lower to take tokens back

    OnnxDecoder(OnnxRuntime runtime, Manifest manifest, int positions) throws OrtException {
        this.runtime = runtime;
        this.positions = positions;
        for (Fields layer : manifest.fields.objects("cache")) {
            long[] shape = {1, layer.whole("heads"), positions, layer.whole("head_size")};
            for (String part : new String[] {"key", "value"}) {
                int values = Math.multiplyExact(Math.multiplyExact((int) shape[1], positions), (int) shape[3]);
                FloatBuffer buffer = ByteBuffer.allocateDirect(Math.multiplyExact(values, 4)).order(ByteOrder.nativeOrder()).asFloatBuffer();
                OnnxTensor tensor = OnnxTensor.createTensor(runtime.environment, buffer, shape);
                String name = layer.whole("layer") + "." + part;
                past.put("past_key_values." + name, tensor);
                present.put("present." + name, tensor);
            }
        }
    }

    @Override
    public float[] step(int[] ids) {
        int behind = length + ids.length;
        if (behind > positions) {
            throw new IllegalArgumentException("no room for " + ids.length + " tokens behind " + length + " of " + positions);
        }
        long[] tokens = new long[ids.length];
        Arrays.setAll(tokens, index -> ids[index]);
        long[] mask = new long[behind];
        Arrays.fill(mask, 1);
        Map<String, OnnxTensor> inputs = new LinkedHashMap<>(past);
        try (OnnxTensor first = runtime.longs(tokens);
                OnnxTensor second = runtime.longs(mask)) {
            inputs.put("input_ids", first);
            inputs.put("attention_mask", second);
            try (OrtSession.Result result = runtime.session.run(inputs, Collections.singleton("logits"), present)) {
                OnnxTensor logits = (OnnxTensor) result.get("logits").get();
                long[] shape = logits.getInfo().getShape();
                float[] all = OnnxRuntime.values(logits);
                length = behind;
                return Arrays.copyOfRange(all, all.length - (int) shape[shape.length - 1], all.length);
            }
        } catch (OrtException error) {
            throw new PackException("onnxruntime: " + error.getMessage(), error);
        }
    }

    @Override
    public void close() {
        past.values().forEach(OnnxTensor::close);
    }
}
