package edgepack.module;

import java.io.File;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** The jobs of targets/protocol.py where there is no Python: over what runs the model in an app. Raw samples go home, no statistics. */
final class Jobs {
    private static final List<String> UNTIMED = Arrays.asList("answer"); // what an emulated CPU tells too
    private static final int MEMORY_TOKENS = 8; // decoded one by one behind the prompt when memory is measured

    private final File folder;
    private final Pack pack;
    private final Fields job;
    private final Opener opener;

    /** Opens a pack's file: an app's own runtime, or a test's. */
    interface Opener {
        ModelRuntime open(ModuleFiles files, Manifest manifest, int threads);

        /**
         * The rows of targets/onnxruntime_ops.py, of runs of `act` on the pack opened with the job's threads and providers. place: a folder
         * for what a profiler writes, which goes again. Refused: a runtime that times no ops, or that cannot ask a provider.
         */
        List<Object> ops(ModuleFiles files, Manifest manifest, Fields job, File place, Function<ModelRuntime, Runnable> act);

        /** Logits for every token of a decoder's text: so many for each, one behind the other. */
        float[] scores(ModelRuntime runtime, Manifest manifest, int[] ids);

        /** Takes back what the decoder read behind its first `length` tokens. */
        void forget(ModelDecoder decoder, int length);
    }

    private Jobs(File folder, Fields job, Opener opener) {
        this.folder = folder;
        this.pack = new Pack(folder);
        this.job = job;
        this.opener = opener;
    }

    /** One job's result, without what is said of the runtime and the machine. */
    static Map<String, Object> done(File folder, Fields job, Opener opener) {
        String kind = job.text("kind");
        String emulatedBy = Device.emulatedBy();
        if (emulatedBy != null && !UNTIMED.contains(kind)) {
            throw new Refused(kind + " is not measured: this " + Device.arch() + " CPU is emulated by " + emulatedBy,
                    "measure on a real one: times and memory of an emulated CPU are no device's");
        }
        return new Jobs(folder, job, opener).done(kind);
    }

    private Map<String, Object> done(String kind) {
        switch (kind) {
            case "load":
                return load();
            case "latency":
                return Timing.timed(nextText(), job);
            case "sustained":
                return Timing.sustained(nextText(), job);
            case "memory":
                return memory();
            case "answer":
                return answer();
            case "quiet":
                return quiet();
            case "ops":
                return ops();
            case "prefill":
                return Timing.timed(firstToken(), job);
            case "decode":
                return Timing.timed(nextToken(), job);
            case "sustained_decode":
                return Timing.sustained(nextToken(), job);
            case "decode_memory":
                return decodeMemory();
            default:
                throw new Refused("a phone without Python has no job " + kind, "measure on this machine: --on local");
        }
    }

    private ModelRuntime opened() {
        return opener.open(pack.files(pack.model), pack.manifest(pack.model, false), job.whole("threads"));
    }

    private Map<String, Object> load() {
        if (job.yes("first", false)) {
            delete(new File(folder, ".weight-cache"));
        }
        Long before = Device.bytesRead();
        long start = System.nanoTime();
        ModelRuntime runtime = opened();
        double sessionMs = Timing.msSince(start);
        start = System.nanoTime();
        text(runtime, job.whole("length")).run();
        double firstMs = Timing.msSince(start);
        Long after = Device.bytesRead();
        Map<String, Object> result = new LinkedHashMap<>();
        result.put("session_ms", sessionMs);
        result.put("first_inference_ms", firstMs);
        result.put("read_bytes", before == null || after == null ? null : (Object) (after - before));
        result.put("weight_cache_bytes", bytesUnder(new File(folder, ".weight-cache")));
        for (String unknown : new String[] {"read_ms", "decode_ms", "decoded_bytes"}) {
            result.put(unknown, null); // the parts of coded weights, which the module's code does not time apart
        }
        return result;
    }

    private Runnable nextText() {
        return text(opened(), job.whole("length"));
    }

    private Runnable text(ModelRuntime runtime, int length) {
        int[] ids = randomIds(length);
        if (pack.isDecoder) {
            ModelDecoder decoder = runtime.decoder(length);
            return () -> {
                opener.forget(decoder, 0);
                decoder.step(ids);
            };
        }
        int[] types = new int[length];
        return () -> runtime.run(ids, types);
    }

    private Map<String, Object> memory() {
        return Timing.occupied(this::opened, runtime -> {
            Runnable act = text(runtime, job.whole("length"));
            for (int count = 0; count < 5; count++) {
                act.run();
            }
        });
    }

    private Map<String, Object> quiet() {
        Timing.Contention contention = new Timing.Contention();
        try {
            Thread.sleep((long) (job.number("seconds") * 1e3));
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
        Map<String, Object> result = new LinkedHashMap<>();
        result.put("contention", contention.since());
        return result;
    }

    private Map<String, Object> ops() {
        Function<ModelRuntime, Runnable> act = runtime -> text(runtime, job.whole("length"));
        Map<String, Object> result = new LinkedHashMap<>();
        result.put("ops", opener.ops(pack.files(pack.model), pack.manifest(pack.model, false), job, new File(folder, ".profile"), act));
        result.put("threads", (long) job.whole("threads"));
        return result;
    }

    /** Texts go through the runtime one by one, whatever their batch: that is how an app asks. */
    private Map<String, Object> answer() {
        boolean exact = job.yes("exact", false);
        String file = pack.scoreModel == null ? pack.model : pack.scoreModel;
        Manifest manifest = pack.manifest(file, exact);
        ModelRuntime runtime = opener.open(pack.files(file), manifest, job.whole("threads"));
        List<Object> outputs = new ArrayList<>();
        for (Fields row : job.objects("rows")) {
            int[] ids = row.wholes("input_ids");
            if (pack.isDecoder) {
                if (job.has("at_once")) {
                    throw new Refused("a phone without Python reads a decoder's text in one go, not in parts", "leave at_once out");
                }
                outputs.add(Scores.reduced(opener.scores(runtime, manifest, ids), ids));
            } else {
                int[] types = row.has("token_type_ids") ? row.wholes("token_type_ids") : new int[ids.length];
                outputs.add(Scores.nested(runtime.run(ids, types), manifest.perToken ? ids.length : 1, manifest.perToken));
            }
        }
        Map<String, Object> result = new LinkedHashMap<>();
        result.put("outputs", outputs);
        result.put("exact_int8", exact);
        return result;
    }

    private Runnable firstToken() {
        return text(opened(), job.whole("length"));
    }

    /** Decodes one token with `length` others before it: it is taken back each time, so that the context stays as long. */
    private Runnable nextToken() {
        int[] context = randomIds(job.whole("length"));
        ModelDecoder decoder = opened().decoder(context.length + 1);
        decoder.step(context);
        int[] last = {context[context.length - 1]};
        return () -> {
            opener.forget(decoder, context.length);
            decoder.step(last);
        };
    }

    private Map<String, Object> decodeMemory() {
        int[] context = randomIds(job.whole("length"));
        int prompt = context.length - Math.min(MEMORY_TOKENS, context.length - 1);
        return Timing.occupied(() -> opened().decoder(context.length), decoder -> {
            decoder.step(Arrays.copyOf(context, prompt));
            for (int at = prompt; at < context.length; at++) {
                decoder.step(new int[] {context[at]});
            }
        });
    }

    /** Random tokens, the same at every call: latency must not hang on words. */
    private int[] randomIds(int length) {
        java.util.Random draw = new java.util.Random(length);
        int[] ids = new int[length];
        for (int at = 0; at < length; at++) {
            ids[at] = draw.nextInt(pack.vocab);
        }
        return ids;
    }

    private static long bytesUnder(File place) {
        File[] inside = place.listFiles();
        long sum = place.isFile() && !place.getName().endsWith(".sha256") ? place.length() : 0;
        for (File file : inside == null ? new File[0] : inside) {
            sum += bytesUnder(file);
        }
        return sum;
    }

    /** A folder with all that is in it. Of a link only the link: what it leads to is not ours. */
    static void delete(File place) {
        File[] inside = Files.isSymbolicLink(place.toPath()) ? null : place.listFiles();
        for (File file : inside == null ? new File[0] : inside) {
            delete(file);
        }
        place.delete();
    }
}
