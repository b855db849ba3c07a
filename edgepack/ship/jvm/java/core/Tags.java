package edgepack.module;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Tags of tokens become entities: as transformers' token-classification pipeline forms them, or by the scheme of tags that have an end.
 *
 * <p>Says nothing of texts and models: positions and scores in, entities out. The same as tags.py and tags.js.
 */
final class Tags {
    /** A token, or a word: its place in code points, the scores of its labels, and whether it belongs to the word before. */
    static final class Unit {
        final int start;
        final int end;
        final double[] scores;
        final boolean goesOn;

        Unit(int start, int end, double[] scores, boolean goesOn) {
            this.start = start;
            this.end = end;
            this.scores = scores;
            this.goesOn = goesOn;
        }
    }

    /** What a unit, or several, were found to be. */
    static final class Tagged {
        final String kind;
        final int start;
        final int end;
        final double score;

        Tagged(String kind, int start, int end, double score) {
            this.kind = kind;
            this.start = start;
            this.end = end;
            this.score = score;
        }
    }

    private static final Set<String> HAVE_ENDS = new HashSet<>(Arrays.asList("bioes", "bilou"));
    private static final String GO_ON = "IMEL";
    private static final String OPEN = "BIM";

    final String strategy;
    final String scheme;
    final String words;
    private final boolean subwordPrefix;
    private final int unknown;
    private final List<String> ignored;

    /** answers: null in a module of an older edgepack. */
    Tags(Fields answers) {
        strategy = answers == null ? "first" : answers.text("strategy");
        scheme = answers == null ? "iob2" : answers.text("scheme");
        words = answers == null ? "white-space" : answers.text("words");
        subwordPrefix = answers != null && answers.yes("subword_prefix", false);
        unknown = answers != null && answers.has("unk_id") ? answers.whole("unk_id") : -1;
        ignored = answers == null ? Arrays.asList("O") : answers.texts("ignore");
        if (!Arrays.asList("none", "simple", "first", "average", "max").contains(strategy)) {
            throw answers.unknown("strategy");
        }
        if (!Arrays.asList("tokenizer", "white-space", "characters").contains(words)) {
            throw answers.unknown("words");
        }
    }

    boolean byWord() {
        return !strategy.equals("none") && !strategy.equals("simple");
    }

    List<Tagged> entities(List<Unit> units, List<String> labels) {
        List<Tagged> result = new ArrayList<>();
        List<Tagged> group = new ArrayList<>();
        for (Unit unit : byWord() ? words(units) : units) {
            int best = best(unit.scores);
            Tagged tagged = new Tagged(labels.get(best), unit.start, unit.end, unit.scores[best]);
            if (strategy.equals("none")) {
                add(result, tagged);
                continue;
            }
            if (!group.isEmpty() && !joins(group.get(group.size() - 1).kind, tagged.kind)) {
                add(result, whole(group));
                group.clear();
            }
            group.add(tagged);
        }
        if (!group.isEmpty()) {
            add(result, whole(group));
        }
        return result;
    }

    private void add(List<Tagged> entities, Tagged each) {
        if (!ignored.contains(each.kind)) {
            entities.add(each);
        }
    }

    private List<Unit> words(List<Unit> units) {
        List<Unit> result = new ArrayList<>();
        for (int first = 0; first < units.size(); ) {
            int past = first + 1;
            while (past < units.size() && units.get(past).goesOn) {
                past++;
            }
            result.add(word(units.subList(first, past)));
            first = past;
        }
        return result;
    }

    /** first: the scores of the first token; max: of the surest; average: the mean of all. */
    private Unit word(List<Unit> tokens) {
        double[] scores = tokens.get(0).scores;
        if (strategy.equals("max")) {
            for (Unit token : tokens) {
                scores = token.scores[best(token.scores)] > scores[best(scores)] ? token.scores : scores;
            }
        } else if (strategy.equals("average")) {
            scores = new double[scores.length];
            for (Unit token : tokens) {
                for (int label = 0; label < scores.length; label++) {
                    scores[label] += token.scores[label] / tokens.size();
                }
            }
        }
        return new Unit(tokens.get(0).start, tokens.get(tokens.size() - 1).end, scores, false);
    }

    /** Whether a tag goes on with the entity of the tag before it. */
    boolean joins(String last, String tag) {
        if (!HAVE_ENDS.contains(scheme)) {
            return !tag.startsWith("B-") && kind(last).equals(kind(tag));
        }
        return after(last).equals(after(tag)) && isOneOf(GO_ON, mark(tag)) && isOneOf(OPEN, mark(last));
    }

    private static String kind(String tag) {
        return tag.startsWith("B-") || tag.startsWith("I-") ? tag.substring(2) : tag;
    }

    private static String mark(String tag) {
        int dash = tag.indexOf('-');
        return dash < 0 ? tag : tag.substring(0, dash);
    }

    private static String after(String tag) {
        int dash = tag.indexOf('-');
        return dash < 0 ? "" : tag.substring(dash + 1);
    }

    private static boolean isOneOf(String marks, String mark) {
        return mark.length() == 1 && marks.contains(mark);
    }

    private static Tagged whole(List<Tagged> group) {
        double sum = 0;
        for (Tagged each : group) {
            sum += each.score;
        }
        String tag = group.get(0).kind;
        int dash = tag.indexOf('-');
        return new Tagged(tag.substring(dash + 1), group.get(0).start, group.get(group.size() - 1).end, sum / group.size());
    }

    private static int best(double[] scores) {
        int best = 0;
        for (int index = 1; index < scores.length; index++) {
            best = scores[index] > scores[best] ? index : best;
        }
        return best;
    }

    /** Whether a token belongs to the word before, as the pipeline finds it: by the tokens' own mark of it, or by the blank before. */
    boolean goesOn(int[] text, int start, int end, String token, int id) {
        if (id == unknown) {
            return false;
        }
        if (subwordPrefix) {
            return token.codePointCount(0, token.length()) != end - start;
        }
        if (start == 0) {
            return false;
        }
        boolean blank = start - 1 < text.length && text[start - 1] == ' ' || start < text.length && text[start] == ' ';
        return !blank;
    }
}
