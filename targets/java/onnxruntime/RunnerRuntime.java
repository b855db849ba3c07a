package edgepack.module;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/** onnxruntime as an app has it. */
final class RunnerRuntime implements Jobs.Opener {
    static final String NAME = "onnxruntime";
    private static final int WARM_UP_RUNS = 5; // before ops are timed one by one
    private static final int MOST_COMPLAINT = 300;

    static String version() {
        return OrtEnvironment.getEnvironment().getVersion();
    }

    @Override
    public ModelRuntime open(ModuleFiles files, Manifest manifest, int threads) {
        return OnnxRuntime.open(files, manifest, threads);
    }

    /** By onnxruntime's profiler, whose file is read and removed. */
    @Override
    public List<Object> ops(ModuleFiles files, Manifest manifest, Fields job, File place, Function<ModelRuntime, Runnable> act) {
        List<String> providers = job.has("providers") ? job.texts("providers") : Collections.emptyList();
        Providers.check(providers);
        if (!place.isDirectory() && !place.mkdirs()) {
            throw new Refused("onnxruntime's profile cannot be kept in " + place, "free some space on the phone");
        }
        try (OnnxRuntime opened = profiled(files, manifest, job.whole("threads"), providers, new File(place, "ops"))) {
            Runnable run = act.apply(opened);
            for (int count = 0; count < WARM_UP_RUNS + job.whole("runs"); count++) {
                run.run();
            }
            return OpRows.rows(new File(opened.session.endProfiling()), WARM_UP_RUNS, job.whole("runs"));
        } catch (OrtException | IOException error) {
            throw new PackException("onnxruntime: " + error.getMessage(), error);
        } finally {
            Jobs.delete(place);
        }
    }

    private static OnnxRuntime profiled(ModuleFiles files, Manifest manifest, int threads, List<String> providers, File profile) {
        try {
            return OnnxRuntime.open(files, manifest, threads, options -> {
                try {
                    options.enableProfiling(profile.getPath());
                    for (String name : providers) {
                        Providers.add(options, name);
                    }
                } catch (OrtException error) {
                    throw new PackException(error.getMessage(), error);
                }
            });
        } catch (PackException error) {
            if (providers.isEmpty()) {
                throw error;
            }
            throw new Refused(String.join(", ", providers) + " cannot take this file: " + lastLine(error.getMessage()),
                    "measure without --providers; if the file is not in fp32, more providers take one that is built with --precision fp32");
        }
    }

    private static String lastLine(String complaint) {
        String[] lines = String.valueOf(complaint).trim().split("\\s*\n\\s*");
        String last = lines[lines.length - 1];
        return last.substring(0, Math.min(last.length(), MOST_COMPLAINT));
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
