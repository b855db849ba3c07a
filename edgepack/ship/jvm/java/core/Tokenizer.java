package edgepack.module;

import java.util.ArrayList;
import java.util.List;

/** A pack's tokenizer.json: the same ids and spans as Hugging Face's tokenizers gives. Safe to use from many threads at once. */
public final class Tokenizer {
    private final AddedTokens added;
    private final List<PreTokenizer> preTokenizers;
    private final Vocabulary vocabulary;
    private final SubwordModel model;
    private final Template template;
    private final Truncation truncation;
    private final TokenDecoder decoder;
    private final CharClass blank;
    final Characters characters;

    /** tokenizer, characters: the contents of tokenizer.json and characters.json. */
    public Tokenizer(byte[] tokenizer, byte[] characters) {
        Characters known = new Characters(Json.parse(characters));
        this.characters = known;
        Fields content = new Fields(Json.parse(tokenizer), "tokenizer.json");
        Fields modelFields = content.object("model");
        Normalizer normalizer = Normalizer.read(content, known);
        added = new AddedTokens(content, known, normalizer);
        preTokenizers = PreTokenizer.read(content, known);
        vocabulary = new Vocabulary(modelFields);
        model = SubwordModel.read(modelFields, vocabulary);
        template = new Template(content);
        truncation = Truncation.read(content);
        decoder = new TokenDecoder(content);
        blank = known.kind("white_space");
    }

    /** A text, or a pair of texts where `pair` is not null, cut as tokenizer.json says. */
    public Encoding encode(String text, String pair) {
        int[] chars = Utf8.codePoints(text);
        int[] more = pair == null ? null : Utf8.codePoints(pair);
        Tokens first = tokens(chars, -1);
        Tokens behind = more == null ? null : tokens(more, -1);
        int special = template.special(pair != null);
        Tokens[] parts = truncation == null ? new Tokens[] {first, behind} : truncation.cut(first, behind, special);
        boolean cut = parts[0].count < first.count || behind != null && parts[1].count < behind.count;
        trim(parts[0], chars);
        if (behind != null) {
            trim(parts[1], more);
        }
        return template.filled(parts[0], parts[1], cut);
    }

    /** A text that is not cut. */
    public Encoding encodeWhole(String text) {
        int[] chars = Utf8.codePoints(text);
        Tokens tokens = tokens(chars, -1);
        trim(tokens, chars);
        return template.filled(tokens, null, false);
    }

    /** Ids of a text whose special tokens stand in it. */
    int[] encodeBare(String text) {
        Tokens tokens = tokens(Utf8.codePoints(text), -1);
        return java.util.Arrays.copyOf(tokens.ids, tokens.count);
    }

    /** Words, each tokenized by itself; spans are those within a word. */
    public Encoding encodeWords(List<String> words) {
        Tokens all = new Tokens();
        for (int word = 0; word < words.size(); word++) {
            int[] chars = Utf8.codePoints(words.get(word));
            Tokens tokens = tokens(chars, word);
            trim(tokens, chars);
            for (int index = 0; index < tokens.count; index++) {
                all.add(tokens.ids[index], tokens.from[index], tokens.to[index], word);
            }
        }
        Tokens part = truncation == null ? all : truncation.cut(all, null, template.special(false))[0];
        return template.filled(part, null, part.count < all.count);
    }

    /** A question with as much of the context as `longest` tokens hold, in windows that share `stride` tokens. */
    List<Encoding> windows(String question, String context, int longest, int stride) {
        int[] asked = Utf8.codePoints(question);
        int[] chars = Utf8.codePoints(context);
        Tokens first = tokens(asked, -1);
        Tokens second = tokens(chars, -1);
        trim(first, asked);
        int room = longest - template.special(true) - first.count;
        if (second.count > room && room <= stride) {
            throw new IllegalArgumentException("the question has " + first.count + " tokens: of the model's " + longest
                    + " too few are left for the context");
        }
        List<Encoding> result = new ArrayList<>();
        int start = 0;
        int end;
        do {
            end = Math.min(second.count, start + Math.max(1, room));
            Tokens part = second.slice(start, end);
            trim(part, chars);
            result.add(template.filled(first, part, false));
            start += room - stride;
        } while (end < second.count);
        return result;
    }

    /** A token as the vocabulary writes it, with its marks. */
    String token(int id) {
        String text = added.text(id);
        text = text == null ? vocabulary.text(id) : text;
        return text == null ? "" : text;
    }

    /** The text of token ids, without special tokens. */
    public String decode(int[] ids, int count) {
        return decode(ids, 0, count);
    }

    /** The text of ids[start] to ids[end - 1], without special tokens. */
    String decode(int[] ids, int start, int end) {
        return decoded(ids, start, end, false);
    }

    /** The text of the ids from `start` on and before `end`, special tokens with it. */
    String decodeAll(int[] ids, int start, int end) {
        return decoded(ids, start, end, true);
    }

    private String decoded(int[] ids, int start, int end, boolean withSpecial) {
        List<String> tokens = new ArrayList<>(end - start);
        for (int index = start; index < end; index++) {
            String text = added.text(ids[index]);
            if (text == null) {
                text = vocabulary.text(ids[index]);
            }
            if (text != null && (withSpecial || !added.special(text))) {
                tokens.add(text);
            }
        }
        return decoder.decode(tokens);
    }

    private Tokens tokens(int[] chars, int word) {
        List<Piece> pieces = added.pieces(chars);
        for (PreTokenizer preTokenizer : preTokenizers) {
            List<Piece> next = new ArrayList<>(pieces.size() + 8);
            List<Normalized> parts = new ArrayList<>();
            for (Piece piece : pieces) {
                if (piece.added >= 0) {
                    next.add(piece);
                    continue;
                }
                parts.clear();
                preTokenizer.split(piece.text, parts);
                for (Normalized part : parts) {
                    if (part.length > 0) {
                        next.add(new Piece(part, -1));
                    }
                }
            }
            pieces = next;
        }
        Tokens tokens = new Tokens();
        for (int index = 0; index < pieces.size(); index++) {
            Piece piece = pieces.get(index);
            int start = tokens.count;
            if (piece.added >= 0) {
                tokens.add(piece.added, piece.text, 0, piece.text.length);
            } else {
                model.tokenize(piece.text, tokens);
            }
            java.util.Arrays.fill(tokens.words, start, tokens.count, word >= 0 ? word : index);
        }
        return tokens;
    }

    /** Takes the blanks at a token's ends out of its span, where the post-processor does. */
    private void trim(Tokens tokens, int[] chars) {
        if (!template.trims()) {
            return;
        }
        for (int index = 0; index < tokens.count; index++) {
            String model = added.text(tokens.ids[index]) == null ? vocabulary.text(tokens.ids[index]) : null;
            int start = tokens.from[index];
            int end = tokens.to[index];
            int[] value = model == null ? java.util.Arrays.copyOfRange(chars, start, end) : model.codePoints().toArray();
            int leading = 0;
            while (leading < value.length && isBlank(value[leading])) {
                leading++;
            }
            int trailing = 0;
            while (trailing < value.length && isBlank(value[value.length - 1 - trailing])) {
                trailing++;
            }
            if (leading == 1 && template.prefixed() && (index == 0 || start == 0)) {
                leading = 0;
            }
            tokens.from[index] = Math.min(start + leading, end);
            if (trailing > 0 && end >= trailing) {
                tokens.to[index] = Math.max(end - trailing, tokens.from[index]);
            }
        }
    }

    private boolean isBlank(int character) {
        return character == ByteLevel.BLANK || blank.has(character);
    }
}
