package edgepack.module;

import java.util.ArrayList;
import java.util.List;

/** Texts become token ids, and outputs become answers: what a call and the self-test share. */
final class Asking {
    /** Where outputs come from: the runtime, or the golden outputs. */
    interface Outputs {
        float[][] of(Encoding encoding);
    }

    private final Tokenizer tokenizer;
    private final Manifest manifest;
    private final CharClass inside;
    final CharClass blank;
    final VectorCodes codes; // null: the model's vectors have none

    Asking(Tokenizer tokenizer, Manifest manifest) {
        this.tokenizer = tokenizer;
        this.manifest = manifest;
        blank = tokenizer.characters.kind("word_blank");
        inside = tokenizer.characters.kind("word");
        codes = VectorCodes.of(manifest);
    }

    Labels classify(String text, String pair, Outputs outputs) {
        boolean readsEmpty = manifest.answers != null && manifest.answers.yes("reads_empty_pair", false); // as a CrossEncoder does
        Encoding encoding = tokenizer.encode(text, pair == null || pair.isEmpty() && !readsEmpty ? null : pair);
        return Tasks.labels(numbers(encoding, outputs), manifest, encoding.cut);
    }

    Entities entities(String text, Outputs outputs) {
        Tags tags = new Tags(manifest.answers);
        Words words = tags.words.equals("tokenizer") ? null
                : tags.words.equals("characters") ? Words.characters(text, blank) : new Words(text, blank, inside);
        return entities(text, words, false, tags, outputs);
    }

    /** Of words that are words already; spans are those of the words joined by single blanks. */
    Entities entities(List<String> words, Outputs outputs) {
        return entities(String.join(" ", words), new Words(words), true, new Tags(manifest.answers), outputs);
    }

    private Entities entities(String text, Words words, boolean given, Tags tags, Outputs outputs) {
        Encoding encoding = some(words == null ? tokenizer.encode(text, null) : tokenizer.encodeWords(words.texts));
        return Tasks.entities(text, words, given, encoding, outputs.of(encoding)[0], tokenizer, tags, manifest.labels);
    }

    Answer answer(String question, String context, Outputs outputs) {
        List<Encoding> windows = tokenizer.windows(question, context, manifest.maxLength, BestSpan.stride(manifest));
        List<float[][]> read = new ArrayList<>();
        for (Encoding window : windows) {
            read.add(outputs.of(window));
        }
        return BestSpan.answer(manifest, context, windows, read);
    }

    Vector embed(String text, String prompt, Outputs outputs) {
        Encoding encoding = tokenizer.encode(manifest.prompt(prompt) + text, null);
        PromptTokens.check(manifest.answers, prompt, encoding.ids);
        float[] values = numbers(encoding, outputs);
        boolean sparse = manifest.answers != null && manifest.answers.yes("sparse", false);
        byte[] code = codes == null ? null : codes.code(values);
        return new Vector(values, encoding.cut, sparse ? Vector.weights(values, tokenizer) : null, code);
    }

    /** The vector of a text, or the logits of its labels; of a table of vectors also those of a text without tokens. */
    private float[] numbers(Encoding encoding, Outputs outputs) {
        boolean isEmpty = encoding.ids.length == 0 && manifest.emptyOutput != null;
        return isEmpty ? manifest.emptyOutput.clone() : outputs.of(some(encoding))[0];
    }

    static Encoding some(Encoding encoding) {
        if (encoding.ids.length == 0) {
            throw new IllegalArgumentException("nothing is left of the text: no tokens");
        }
        return encoding;
    }
}
