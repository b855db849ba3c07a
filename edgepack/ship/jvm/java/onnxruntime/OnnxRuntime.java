package edgepack.module;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OnnxTensorLike;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.io.IOException;
import java.nio.Buffer; // its methods under its own name: ByteBuffer's own came with later Androids
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/** Runs the model in onnxruntime. Its weights stay in the mapped file, or where they were decoded: nothing of them is copied when it is opened. */
public final class OnnxRuntime implements ModelRuntime {
    final OrtEnvironment environment = OrtEnvironment.getEnvironment();
    final OrtSession session;
    private final Manifest manifest;
    private final List<OnnxTensor> weights = new ArrayList<>();

    private OnnxRuntime(ModuleFiles files, Manifest manifest, int threads, Consumer<OrtSession.SessionOptions> more)
            throws OrtException, IOException {
        this.manifest = manifest;
        environment.setTelemetry(false); // what runs in an app is nobody's business but the app's
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
            options.setIntraOpNumThreads(threads);
            options.setInterOpNumThreads(1);
            settings(options, manifest.fields.object("session"));
            if (manifest.fields.yes("exact", false) && System.getProperty("os.arch", "").contains("86")) {
                unsaturated(options);
            }
            Map<String, OnnxTensorLike> outside = outside(files, threads);
            if (!outside.isEmpty()) {
                options.addExternalInitializers(outside);
            }
            more.accept(options);
            session = environment.createSession(files.map(manifest.model), options);
        }
    }

    /** An {@link ModelRuntime.Opener}. */
    public static ModelRuntime open(ModuleFiles files, Manifest manifest, int threads) {
        return open(files, manifest, threads, options -> {});
    }

    /** more: has the session's options say what is not the pack's. */
    static OnnxRuntime open(ModuleFiles files, Manifest manifest, int threads, Consumer<OrtSession.SessionOptions> more) {
        try {
            return new OnnxRuntime(files, manifest, threads, more);
        } catch (OrtException | IOException error) {
            throw new PackException("onnxruntime cannot open " + manifest.model + ": " + error.getMessage(), error);
        }
    }

    private static void settings(OrtSession.SessionOptions options, Fields session) throws OrtException {
        options.setOptimizationLevel(level(session));
        if (session.has("config")) {
            Fields config = session.object("config");
            for (String name : config.names()) {
                options.addConfigEntry(name, config.text(name));
            }
        }
        if (session.has("disabled_optimizers") && !session.list("disabled_optimizers").isEmpty()) {
            options.addConfigEntry("optimization.disable_specified_optimizers", String.join(";", session.texts("disabled_optimizers")));
        }
    }

    /** An emulator's processor may saturate int8 products where the phones that the pack was measured for do not. */
    private static void unsaturated(OrtSession.SessionOptions options) throws OrtException {
        options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.EXTENDED_OPT);
        options.addConfigEntry("session.x64quantprecision", "1");
    }

    private static OrtSession.SessionOptions.OptLevel level(Fields session) {
        switch (session.text("graph_optimization_level")) {
            case "disable_all":
                return OrtSession.SessionOptions.OptLevel.NO_OPT;
            case "basic":
                return OrtSession.SessionOptions.OptLevel.BASIC_OPT;
            case "extended":
                return OrtSession.SessionOptions.OptLevel.EXTENDED_OPT;
            case "all":
                return OrtSession.SessionOptions.OptLevel.ALL_OPT;
            default:
                throw session.unknown("graph_optimization_level");
        }
    }

    /** Weights by name, each a part of the file beside the graph, mapped or decoded: weights.json says where. */
    private Map<String, OnnxTensorLike> outside(ModuleFiles files, int threads) throws OrtException, IOException {
        Map<String, OnnxTensorLike> result = new LinkedHashMap<>();
        Fields listed = new Fields(Json.parse(files.read("weights.json")), "weights.json");
        ByteBuffer file = listed.has("file") ? Weights.of(files, manifest, listed.text("file"), threads) : null;
        for (Fields weight : listed.objects("weights")) {
            int[] shape = weight.wholes("shape");
            long[] sides = new long[shape.length];
            for (int side = 0; side < shape.length; side++) {
                sides[side] = shape[side];
            }
            ByteBuffer part = file.duplicate();
            ((Buffer) part).position(weight.whole("offset"));
            ((Buffer) part).limit(weight.whole("offset") + weight.whole("bytes"));
            part = part.slice().order(ByteOrder.nativeOrder());
            OnnxTensor tensor = OnnxTensor.createTensor(environment, part, sides, OnnxJavaType.valueOf(weight.text("type")));
            weights.add(tensor);
            result.put(weight.text("name"), tensor);
        }
        return result;
    }

    @Override
    public float[][] run(int[] ids, int[] typeIds) {
        Map<String, OnnxTensor> inputs = new LinkedHashMap<>();
        try {
            for (String name : manifest.inputs) {
                inputs.put(name, tensor(name, ids, typeIds));
            }
            try (OrtSession.Result result = session.run(inputs)) {
                float[][] arrays = new float[manifest.outputs.size()][];
                for (int index = 0; index < arrays.length; index++) {
                    arrays[index] = values((OnnxTensor) result.get(manifest.outputs.get(index)).get());
                }
                return arrays;
            }
        } catch (OrtException error) {
            throw new PackException("onnxruntime: " + error.getMessage(), error);
        } finally {
            inputs.values().forEach(OnnxTensor::close);
        }
    }

    private OnnxTensor tensor(String name, int[] ids, int[] typeIds) throws OrtException {
        long[] values = new long[ids.length];
        for (int index = 0; index < values.length; index++) {
            values[index] = name.equals("input_ids") ? ids[index] : name.equals("attention_mask") ? 1 : typeIds[index];
        }
        return longs(values);
    }

    OnnxTensor longs(long[] values) throws OrtException {
        LongBuffer buffer = ByteBuffer.allocateDirect(values.length * 8).order(ByteOrder.nativeOrder()).asLongBuffer();
        buffer.put(values);
        ((Buffer) buffer).rewind();
        return OnnxTensor.createTensor(environment, buffer, new long[] {1, values.length});
    }

    static float[] values(OnnxTensor tensor) {
        FloatBuffer buffer = tensor.getFloatBuffer();
        float[] values = new float[buffer.remaining()];
        buffer.get(values);
        return values;
    }

    @Override
    public ModelDecoder decoder(int positions) {
        try {
            return new OnnxDecoder(this, manifest, positions);
        } catch (OrtException error) {
            throw new PackException("onnxruntime: " + error.getMessage(), error);
        }
    }

    @Override
    public void close() {
        try {
            session.close();
        } catch (OrtException error) {
            throw new PackException("onnxruntime: " + error.getMessage(), error);
        } finally {
            weights.forEach(OnnxTensor::close);
        }
    }
}
