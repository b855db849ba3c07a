package edgepack.module;

import java.util.ArrayList;
import java.util.List;

/**
 * The regular expressions that tokenizers split by: alternatives of character classes, repeated greedily, with lookahead.
 *
 * <p>Not java.util.regex, whose classes are those of the JVM's or Android's Unicode version. What is not known is refused:
 * there are no anchors, captures, lazy quantifiers or repeated groups in such expressions.
 */
final class Regex {
    private static final int UNLIMITED = Integer.MAX_VALUE;

    private final String source;
    private final Characters characters;
    private int at;

    private Regex(String source, Characters characters) {
        this.source = source;
        this.characters = characters;
    }

    static Pattern compile(String source, Characters characters) {
        Regex regex = new Regex(source, characters);
        Node start = regex.alternatives(false, Node.END);
        if (regex.at < source.length()) {
            throw regex.unknown();
        }
        return start::match;
    }

    /** One step; it knows what must follow, so that it can take back what it took. */
    private interface Node {
        Node END = (chars, at, end) -> at;

        int match(int[] chars, int at, int end);
    }

    private interface Step {
        Node then(Node next);
    }

    private Node alternatives(boolean anyCase, Node next) {
        List<Node> branches = new ArrayList<>();
        do {
            branches.add(sequence(anyCase, next));
        } while (skips("|"));
        Node[] nodes = branches.toArray(new Node[0]);
        return nodes.length == 1 ? nodes[0] : (chars, at, end) -> {
            for (Node node : nodes) {
                int matched = node.match(chars, at, end);
                if (matched >= 0) {
                    return matched;
                }
            }
            return -1;
        };
    }

    private Node sequence(boolean anyCase, Node next) {
        List<Step> steps = new ArrayList<>();
        while (at < source.length() && source.charAt(at) != '|' && source.charAt(at) != ')') {
            steps.add(source.charAt(at) == '(' ? group(anyCase) : repeated(set(anyCase)));
        }
        Node node = next;
        for (int index = steps.size() - 1; index >= 0; index--) {
            node = steps.get(index).then(node);
        }
        return node;
    }

    private Step group(boolean anyCase) {
        boolean refused = skips("(?!");
        if (refused || skips("(?=")) {
            Node inside = alternatives(anyCase, Node.END);
            need(")");
            return next -> (chars, at, end) -> inside.match(chars, at, end) >= 0 == refused ? -1 : next.match(chars, at, end);
        }
        boolean folds = skips("(?i:");
        if (!folds && !skips("(?:") && !skips("(")) {
            throw unknown();
        }
        boolean folded = folds || anyCase;
        int start = at;
        alternatives(folded, Node.END);
        int close = at;
        need(")");
        boolean optional = skips("?");
        if (at < source.length() && "?*+{".indexOf(source.charAt(at)) >= 0) {
            throw unknown();
        }
        return next -> {
            int resume = at;
            at = start;
            Node inside = alternatives(folded, next);
            if (at != close) {
                throw unknown();
            }
            at = resume;
            return optional ? either(inside, next) : inside;
        };
    }

    private static Node either(Node first, Node second) {
        return (chars, at, end) -> {
            int matched = first.match(chars, at, end);
            return matched >= 0 ? matched : second.match(chars, at, end);
        };
    }

    private Step repeated(CharSet set) {
        int least = 1;
        int most = 1;
        if (skips("?")) {
            least = 0;
        } else if (skips("*")) {
            least = 0;
            most = UNLIMITED;
        } else if (skips("+")) {
            most = UNLIMITED;
        } else if (skips("{")) {
            least = number();
            most = skips(",") ? (peek("}") ? UNLIMITED : number()) : least;
            need("}");
        }
        boolean keeps = skips("+");
        if (at < source.length() && "?*{".indexOf(source.charAt(at)) >= 0) {
            throw unknown();
        }
        return repeat(set, least, most, keeps);
    }

    private static Step repeat(CharSet set, int least, int most, boolean keeps) {
        return next -> (chars, at, end) -> {
            int limit = end - at > most ? at + most : end;
            int past = at;
            while (past < limit && set.has(chars[past])) {
                past++;
            }
            int shortest = keeps ? Math.max(past, at + least) : at + least;
            for (; past >= shortest; past--) {
                int matched = next.match(chars, past, end);
                if (matched >= 0) {
                    return matched;
                }
            }
            return -1;
        };
    }

    private CharSet set(boolean anyCase) {
        if (!skips("[")) {
            CharSet single = CharSet.single();
            item(single, anyCase);
            return single;
        }
        CharSet result = new CharSet(skips("^"));
        while (!skips("]")) {
            if (at == source.length() || peek("[") || peek("&&")) {
                throw unknown();
            }
            item(result, anyCase);
        }
        return result;
    }

    /** A character, an escape, or inside brackets a range. */
    private void item(CharSet set, boolean anyCase) {
        int character = source.codePointAt(at);
        if (character == '\\') {
            String name = className();
            if (name != null) {
                if (name.equals("\\S")) {
                    set.addOthers(characters.kind("\\s"));
                } else {
                    set.add(characters.kind(name));
                }
                return;
            }
            character = escaped();
        } else if (!set.bracketed() && "().*+?{}^$|".indexOf(character) >= 0) {
            throw unknown();
        } else {
            at += Character.charCount(character);
        }
        boolean range = set.bracketed() && peek("-") && !source.startsWith("-]", at);
        if (range) {
            at++;
            int last = peek("\\") ? escaped() : source.codePointAt(at++);
            set.add(character, last);
        } else if (anyCase && Character.isLetter(character)) {
            set.add(characters.kind("(?i:" + new String(Character.toChars(character)) + ")"));
        } else {
            set.add(character, character);
        }
    }

    /** `\p{L}`, `\s` or `\S` as it stands, null where the escape means one character. */
    private String className() {
        int start = at;
        if (peek("\\p{")) {
            at = source.indexOf('}', at) + 1;
            return source.substring(start, at);
        }
        boolean known = at + 1 < source.length() && "sS".indexOf(source.charAt(at + 1)) >= 0;
        at += known ? 2 : 0;
        return known ? source.substring(start, at) : null;
    }

    private int escaped() {
        char next = at + 1 < source.length() ? source.charAt(at + 1) : 'A';
        int place = "rntfv".indexOf(next);
        if (place < 0 && Character.isLetterOrDigit(next)) {
            throw unknown();
        }
        at += 2;
        return place < 0 ? next : "\r\n\t\f\u000B".charAt(place);
    }

    private int number() {
        int value = 0;
        int start = at;
        while (at < source.length() && source.charAt(at) >= '0' && source.charAt(at) <= '9' && value < 10000) {
            value = value * 10 + source.charAt(at++) - '0';
        }
        if (at == start) {
            throw unknown();
        }
        return value;
    }

    private boolean peek(String wanted) {
        return source.startsWith(wanted, at);
    }

    private boolean skips(String wanted) {
        boolean there = peek(wanted);
        at += there ? wanted.length() : 0;
        return there;
    }

    private void need(String wanted) {
        if (!skips(wanted)) {
            throw unknown();
        }
    }

    private PackException unknown() {
        return new PackException("tokenizer.json: this code does not know the expression " + source + " from character " + at + " on");
    }
}
