package edgepack.module;

import java.util.List;
import java.util.Random;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.Supplier;
import org.jspecify.annotations.NonNull;
import org.jspecify.annotations.Nullable;

/**
 * A model that answers. Threads may share it; close it when it is no longer needed.
 *
 * <p>IllegalArgumentException: a text that is null, or no Unicode text, or leaves nothing to read. IllegalStateException: a call
 * after close(), or one that is not this model's task. Not on Android's main thread: an answer takes milliseconds to seconds.
 */
public final class PackModel implements AutoCloseable {
    public final @NonNull Manifest manifest;
    private final ModuleFiles files;
    private final ModuleFiles listed;
    private final Tokenizer tokenizer;
    private final ModelRuntime runtime;
    private final Asking asking;
    private final ReentrantReadWriteLock use = new ReentrantReadWriteLock();
    private volatile boolean closed;
    private boolean freed;

    private PackModel(ModuleFiles files, ModelRuntime.Opener opener, int threads) {
        this.files = files;
        manifest = Integrity.manifest(files);
        Integrity.check(files, manifest);
        listed = new ListedFiles(files, manifest);
        tokenizer = new Tokenizer(listed.read("tokenizer.json"), listed.read("characters.json"));
        asking = new Asking(tokenizer, manifest);
        runtime = opener.open(listed, manifest, threads);
    }

    /** Checks every file and opens the model. PackException where a file is missing or not the one that was shipped. */
    public static @NonNull PackModel open(@NonNull ModuleFiles files, ModelRuntime.@NonNull Opener opener, int threads) {
        return new PackModel(files, opener, threads);
    }

    /** Opens the model, asks for every golden text, closes it. Never throws for what it is there to find. */
    public static @NonNull SelfTest selfTest(@NonNull ModuleFiles files, ModelRuntime.@NonNull Opener opener, int threads) {
        try (PackModel model = open(files, opener, threads)) {
            return model.selfTest();
        } catch (RuntimeException | LinkageError error) {
            return new SelfTest(String.valueOf(error.getMessage()), Double.NaN);
        }
    }

    /** Hashes again, then every golden text: its token ids, its outputs and its decision. */
    public @NonNull SelfTest selfTest() {
        return used(() -> {
            try {
                Integrity.check(files, Integrity.manifest(files));
                Proof.Continuation likeliest = (ids, most) -> generated(ids, most, Sampling.GREEDY, false, null).tokens;
                return new Proof(tokenizer, runtime, manifest, asking, likeliest).asked(Json.utf8(listed.read("golden.jsonl")));
            } catch (PackException error) {
                return new SelfTest(error.getMessage(), manifest.tolerance);
            }
        });
    }

    public @NonNull Labels classify(@NonNull String text) {
        return classify(text, null);
    }

    /** pair: the second text of a model for pairs, or null; an empty one is none, unless the model is a CrossEncoder. */
    public @NonNull Labels classify(@NonNull String text, @Nullable String pair) {
        need("text-classification", text);
        return asking.classify(text, pair, this::outputs);
    }

    public @NonNull Entities entities(@NonNull String text) {
        need("token-classification", text);
        return asking.entities(text, this::outputs);
    }

    /** Of words that are words already; spans are those of the words joined by single blanks. */
    public @NonNull Entities entities(@NonNull List<@NonNull String> words) {
        need("token-classification", words == null || words.contains(null) ? null : "");
        return asking.entities(words, this::outputs);
    }

    public @NonNull Answer answer(@NonNull String question, @NonNull String context) {
        need("question-answering", question);
        need("question-answering", context);
        return asking.answer(question, context, this::outputs);
    }

    /** The vector of a text behind the model's default prompt, where it has one. */
    public @NonNull Vector embed(@NonNull String text) {
        return embed(text, null);
    }

    /** prompt: the name of one of the model's prompts, which stands before the text; null: its default one, "": none. */
    public @NonNull Vector embed(@NonNull String text, @Nullable String prompt) {
        need("feature-extraction", text);
        return asking.embed(text, prompt, this::outputs);
    }

    /** How alike two of the model's vectors are, by cosine, dot product or distance, as its folder states: more is more alike. */
    public double similarity(@NonNull Vector first, @NonNull Vector second) {
        need("feature-extraction", "");
        return Similarity.of(manifest.answers, first.values, second.values);
    }

    /** An empty index of vectors. IllegalStateException where the model's vectors have no codes: build it with --vectors. */
    public @NonNull VectorIndex index() {
        if (asking.codes == null) {
            throw new IllegalStateException("the model's vectors have no codes: build it with --vectors binary, or int8");
        }
        return new VectorIndex(asking.codes);
    }

    /** Continues a text, as the model's folder says. */
    public @NonNull Generated generate(@NonNull String prompt) {
        int[] ids = promptIds(prompt);
        return generated(ids, Writing.mostTokens(manifest, Math.max(1, ids.length)), null, false, null);
    }

    /** Continues a text by at most `maxTokens`. sampling: null is as the model's folder says; listener: null, or receives the pieces. */
    public @NonNull Generated generate(
            @NonNull String prompt, int maxTokens, @Nullable Sampling sampling, @Nullable TextListener listener) {
        return generate(prompt, maxTokens, sampling, false, listener);
    }

    /** slides: whether a text goes on where no position is left, with its first token and the last half of the positions. */
    public @NonNull Generated generate(
            @NonNull String prompt, int maxTokens, @Nullable Sampling sampling, boolean slides, @Nullable TextListener listener) {
        return generated(promptIds(prompt), maxTokens, sampling, slides, listener);
    }

    /** Answers a conversation by the model's chat template. IllegalStateException where it has none that this module can render. */
    public @NonNull Generated generate(@NonNull List<@NonNull Message> messages, int maxTokens, @Nullable Sampling sampling,
            boolean slides, @Nullable TextListener listener) {
        need("text-generation", messages == null || messages.contains(null) ? null : "");
        int[] ids = manifest.known(tokenizer.encodeBare(Chat.joined(manifest.answers, messages)));
        return generated(ids, maxTokens, sampling, slides, listener);
    }

    private float[][] outputs(Encoding encoding) {
        int[] ids = manifest.known(encoding.ids);
        return used(() -> runtime.run(ids, encoding.typeIds));
    }

    private int[] promptIds(String prompt) {
        need("text-generation", prompt);
        return manifest.known(tokenizer.encodeWhole(prompt).ids);
    }

    /** asked: the prompt's tokens; where there are none, the model's start token stands in their place, as for transformers' generate. */
    private Generated generated(int[] asked, int maxTokens, Sampling sampling, boolean slides, TextListener listener) {
        if (maxTokens < 1) {
            throw new IllegalArgumentException("maxTokens is less than 1: give at least one token to write");
        }
        boolean isStart = asked.length == 0;
        if (isStart && manifest.startId < 0) {
            throw new IllegalArgumentException(
                    "the prompt is empty: no tokens, and the model has none to begin with: give the text to continue");
        }
        int[] ids = isStart ? new int[] {manifest.startId} : asked;
        if (ids.length > manifest.positions && !slides) {
            throw new IllegalArgumentException("the prompt has " + ids.length + " tokens, the model " + manifest.positions + " positions");
        }
        Writing writing = new Writing(tokenizer, ids, isStart, listener);
        Sampling settings = sampling == null ? Sampling.stated(manifest, 0) : sampling;
        String endedBy = written(ids.length, maxTokens, settings, slides, writing);
        return new Generated(writing.finished(), writing.tokens(ids.length), ids.length, endedBy);
    }

    private String written(int prompt, int maxTokens, Sampling sampling, boolean slides, Writing writing) {
        int room = Math.min(prompt + maxTokens - 1, manifest.positions);
        Penalties penalties = new Penalties(manifest.answers, prompt, prompt + maxTokens, manifest.stopIds);
        StopStrings strings = new StopStrings(manifest.answers, tokenizer);
        Random draws = sampling.draws();
        int count = 0;
        while (true) { // once, or anew for every time that the window slides
            int[] next = slides ? writing.fitting(room) : writing.fitting(Integer.MAX_VALUE);
            ModelDecoder decoder = used(() -> runtime.decoder(room));
            try {
                for (int length = 0; ; next = new int[] {writing.last()}) {
                    int[] read = next;
                    int token = sampling.choose(writing.adjusted(penalties, used(() -> decoder.step(read))), draws);
                    length += read.length;
                    if (Penalties.among(manifest.stopIds, token)) {
                        writing.end(token);
                        return "stop";
                    }
                    if (!writing.add(token)) {
                        return "listener";
                    }
                    count++;
                    if (count == maxTokens || writing.ended(strings)) {
                        return writing.ended(strings) ? "stop" : "max_tokens";
                    }
                    if (length == room) {
                        break;
                    }
                }
            } finally {
                closeDecoder(decoder);
            }
            if (!slides) {
                return "positions";
            }
        }
    }

    /** Frees the model when the calls that run now are through; what is being written ends at its next token. */
    @Override
    public void close() {
        closed = true;
        use.writeLock().lock();
        try {
            if (!freed) {
                freed = true;
                runtime.close();
            }
        } finally {
            use.writeLock().unlock();
        }
    }

    private void closeDecoder(ModelDecoder decoder) {
        use.readLock().lock();
        try {
            decoder.close();
        } finally {
            use.readLock().unlock();
        }
    }

    private <T> T used(Supplier<T> work) {
        use.readLock().lock();
        try {
            if (closed) {
                throw new IllegalStateException("the model is closed: open it again");
            }
            return work.get();
        } finally {
            use.readLock().unlock();
        }
    }

    private void need(String task, String text) {
        if (!task.equals(manifest.task)) {
            throw new IllegalStateException("this model does " + manifest.task + ", not " + task);
        }
        if (text == null) {
            throw new IllegalArgumentException("the text is null");
        }
    }
}
