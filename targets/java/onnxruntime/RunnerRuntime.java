package edgepack.module;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/** onnxruntime as an app has it. */
final class RunnerRuntime implements Jobs.Opener {
    static final String NAME = "onnxruntime";

    static String version() {
        return OrtEnvironment.getEnvironment().getVersion();
    }

    @Override
    public ModelRuntime open(ModuleFiles files, Manifest manifest, int threads) {
        return OnnxRuntime.open(files, manifest, threads);
    }

    /** A text at once, with an empty past. */
    @Override
    public float[] scores(ModelRuntime runtime, Manifest manifest, int[] ids) {
        OnnxRuntime opened = (OnnxRuntime) runtime;
        Map<String, OnnxTensor> inputs = new LinkedHashMap<>();
        long[] tokens = new long[ids.length];
        Arrays.setAll(tokens, at -> ids[at]);
        long[] mask = new long[ids.length];
        Arrays.fill(mask, 1);
        try {
            inputs.put("input_ids", opened.longs(tokens));
            inputs.put("attention_mask", opened.longs(mask));
            for (Fields layer : manifest.fields.objects("cache")) {
                long[] shape = {1, layer.whole("heads"), 0, layer.whole("head_size")};
                for (String part : new String[] {"key", "value"}) {
                    FloatBuffer nothing = ByteBuffer.allocateDirect(0).order(ByteOrder.nativeOrder()).asFloatBuffer();
                    OnnxTensor tensor = OnnxTensor.createTensor(opened.environment, nothing, shape);
                    inputs.put("past_key_values." + layer.whole("layer") + "." + part, tensor);
                }
            }
            Set<String> wanted = Collections.singleton(manifest.outputs.get(0));
            try (OrtSession.Result result = opened.session.run(inputs, wanted, Collections.emptyMap())) {
                return OnnxRuntime.values((OnnxTensor) result.get(manifest.outputs.get(0)).get());
            }
        } catch (OrtException error) {
            throw new PackException("onnxruntime: " + error.getMessage(), error);
        } finally {
            inputs.values().forEach(OnnxTensor::close);
        }
    }

    @Override
    public void forget(ModelDecoder decoder, int length) {
        ((OnnxDecoder) decoder).length = length;
    }
}
