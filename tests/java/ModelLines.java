package edgepack.module;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** For tests: a JSON object a line in, one a line out, about one model. Arguments: its folder, a runtime's command, `litert`, `onnxruntime`, or none. */
public final class ModelLines {
    private final ModuleFiles files;
    private final ModelRuntime.Opener opener;
    private final PackModel model;
    private Vector first;

    private ModelLines(ModuleFiles files, ModelRuntime.Opener opener) {
        this.files = files;
        this.opener = opener;
        this.model = PackModel.open(files, opener, 1);
    }

    public static void main(String[] arguments) throws IOException {
        ModuleFiles files = new FolderFiles(new File(arguments[0]));
        List<String> command = Arrays.asList(arguments).subList(1, arguments.length);
        ModelRuntime.Opener opener = (from, manifest, threads) ->
                command.isEmpty() ? new MadeUp(manifest)
                : command.get(0).equals("litert") ? LiteRt.open(from, manifest, threads)
                : command.get(0).equals("onnxruntime") ? OnnxRuntime.open(from, manifest, threads)
                : new PythonRuntime(command);
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        ModelLines lines = null;
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            Object answer;
            try {
                lines = lines == null ? new ModelLines(files, opener) : lines;
                answer = lines.answer(new Fields(Json.parse(line), "line"));
            } catch (RuntimeException error) {
                answer = Map.of("error", error.getClass().getSimpleName(), "message", String.valueOf(error.getMessage()));
            }
            StringBuilder written = new StringBuilder();
            Lines.write(answer, written);
            out.println(written);
        }
        if (lines != null) {
            lines.model.close();
        }
    }

    /** Outputs that hang on the token ids alone, so that a test can make them up too. */
    private static final class MadeUp implements ModelRuntime {
        private final Manifest manifest;

        MadeUp(Manifest manifest) {
            this.manifest = manifest;
        }

        @Override
        public float[][] run(int[] ids, int[] typeIds) {
            int width = manifest.outputs.size() > 1 ? 1 : Math.max(1, manifest.labels.size());
            int rows = manifest.perToken ? ids.length : 1;
            float[][] result = new float[manifest.outputs.size()][rows * width];
            for (int output = 0; output < result.length; output++) {
                for (int place = 0; place < result[output].length; place++) {
                    int row = place / width;
                    int column = place % width + output;
                    result[output][place] = (ids[row] * 7919 + column * 1299709 + row * 104729) % 1000003 / 100000f;
                }
            }
            return result;
        }

        @Override
        public ModelDecoder decoder(int positions) {
            throw new IllegalStateException("no decoder");
        }

        @Override
        public void close() {}
    }

    private Object answer(Fields asked) {
        switch (asked.text("op")) {
            case "classify":
                return labels(model.classify(text(asked, "text"), asked.has("pair") ? asked.text("pair") : null));
            case "entities":
                return entities(asked.has("words") ? model.entities(asked.texts("words")) : model.entities(text(asked, "text")));
            case "answer":
                Answer answer = model.answer(text(asked, "question"), text(asked, "context"));
                return fields("text", answer.text, "start", answer.start, "end", answer.end, "score", answer.score, "cut", answer.cut);
            case "embed":
                Vector vector = model.embed(text(asked, "text"), asked.has("prompt") ? asked.text("prompt") : null);
                List<Object> values = new ArrayList<>();
                for (float value : vector.values) {
                    values.add(value);
                }
                first = first == null ? vector : first;
                Map<String, Object> embedded = fields("values", values, "cut", vector.cut, "weights", vector.weights);
                if (asked.has("compares")) {
                    embedded.put("similarity", model.similarity(first, vector));
                }
                return embedded;
            case "generate":
                return generated(asked);
            case "self_test":
                return tested(asked.has("fresh") ? PackModel.selfTest(files, opener, 1) : model.selfTest());
            case "together":
                return together(asked.text("text"), asked.whole("threads"));
            case "close":
                model.close();
                return fields("closed", true);
            default:
                throw asked.unknown("op");
        }
    }

    private static String text(Fields asked, String name) {
        if (asked.has("units")) { // a text that JSON cannot hold
            StringBuilder built = new StringBuilder();
            for (int unit : asked.wholes("units")) {
                built.append((char) unit);
            }
            return built.toString();
        }
        return asked.has(name) ? asked.text(name) : null;
    }

    private static Map<String, Object> fields(Object... entries) {
        Map<String, Object> result = new LinkedHashMap<>();
        for (int index = 0; index < entries.length; index += 2) {
            result.put((String) entries[index], entries[index + 1]);
        }
        return result;
    }

    private static Object labels(Labels labels) {
        List<Object> scores = new ArrayList<>();
        for (Labels.Label label : labels.scores) {
            scores.add(Arrays.asList(label.name, label.score));
        }
        return fields("label", labels.label, "score", labels.score, "scores", scores, "cut", labels.cut, "chosen", labels.chosen);
    }

    private static Object entities(Entities entities) {
        List<Object> result = new ArrayList<>();
        for (Entities.Entity entity : entities.entities) {
            result.add(Arrays.asList(entity.kind, entity.text, entity.start, entity.end, entity.score));
        }
        return fields("entities", result, "cut", entities.cut);
    }

    private static List<Message> messages(Fields asked) {
        List<Message> result = new ArrayList<>();
        for (Fields message : asked.objects("messages")) {
            result.add(new Message(message.text("role"), message.text("content")));
        }
        return result;
    }

    private Object generated(Fields asked) {
        List<Object> pieces = Collections.synchronizedList(new ArrayList<>());
        int most = asked.has("pieces") ? asked.whole("pieces") : Integer.MAX_VALUE;
        Sampling sampling = asked.has("temperature")
                ? new Sampling(asked.number("temperature"), asked.whole("top_k"), asked.number("top_p"), asked.whole("seed"))
                : null;
        TextListener listener = piece -> {
            pieces.add(piece);
            return pieces.size() < most;
        };
        boolean slides = asked.has("window") && asked.text("window").equals("slide");
        int length = asked.whole("max_tokens");
        Generated generated = asked.has("messages")
                ? model.generate(messages(asked), length, sampling, slides, listener)
                : model.generate(text(asked, "prompt"), length, sampling, slides, listener);
        List<Object> tokens = new ArrayList<>();
        for (int token : generated.tokens) {
            tokens.add(token);
        }
        return fields("text", generated.text, "tokens", tokens, "pieces", pieces, "ended_by", generated.endedBy,
                "prompt_tokens", generated.promptTokens);
    }

    private static Object tested(SelfTest test) {
        return fields("ok", test.ok, "problem", test.problem, "texts", test.texts, "ids_equal", test.idsEqual, "answers_equal", test.answersEqual,
                "ids_asked", test.idsAsked, "from_ids", test.fromIds,
                "largest", Double.isNaN(test.largestDifference) ? null : test.largestDifference);
    }

    /** How many different answers many threads get to one text; closing the model meanwhile breaks none of them. */
    private Object together(String text, int threads) {
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        List<Future<String>> waiting = new ArrayList<>();
        for (int call = 0; call < threads * 8; call++) {
            waiting.add(pool.submit(() -> model.classify(text).toString()));
        }
        Map<String, Integer> counts = new LinkedHashMap<>();
        try {
            for (Future<String> answer : waiting) {
                counts.merge(answer.get(), 1, Integer::sum);
            }
        } catch (InterruptedException | java.util.concurrent.ExecutionException error) {
            throw new IllegalStateException(error);
        } finally {
            pool.shutdown();
        }
        return fields("answers", new ArrayList<Object>(counts.keySet()), "calls", waiting.size());
    }
}
