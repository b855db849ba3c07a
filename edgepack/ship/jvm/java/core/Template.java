package edgepack.module;

import java.util.ArrayList;
import java.util.List;

/** Where the special tokens go: what tokenizer.json calls its post-processor. */
final class Template {
    private static final class Slot {
        final int[] ids; // null where the text goes
        final int part;
        final int type;

        Slot(int[] ids, int part, int type) {
            this.ids = ids;
            this.part = part;
            this.type = type;
        }
    }

    private final List<Slot> single = new ArrayList<>();
    private final List<Slot> pair = new ArrayList<>();
    private boolean known;
    private boolean trims;
    private boolean prefixed;

    Template(Fields tokenizer) {
        if (tokenizer.has("post_processor")) {
            read(tokenizer.object("post_processor"));
        }
        if (!known) {
            single.add(new Slot(null, 0, 0));
            pair.add(new Slot(null, 0, 0));
            pair.add(new Slot(null, 1, 1));
        }
    }

    /** Whether spans leave out the blanks at a token's ends. */
    boolean trims() {
        return trims;
    }

    /** Whether a first token's one blank was added by the pre-tokenizer, and is not a part of the text. */
    boolean prefixed() {
        return prefixed;
    }

    int special(boolean isPair) {
        int count = 0;
        for (Slot slot : isPair ? pair : single) {
            count += slot.ids == null ? 0 : slot.ids.length;
        }
        return count;
    }

    private void read(Fields fields) {
        switch (fields.text("type")) {
            case "Sequence":
                for (Fields part : fields.objects("processors")) {
                    read(part);
                }
                break;
            case "ByteLevel":
                trim(fields);
                break;
            case "TemplateProcessing":
                template(fields.objects("single"), fields.object("special_tokens"), single);
                template(fields.objects("pair"), fields.object("special_tokens"), pair);
                known = true;
                break;
            case "BertProcessing":
                around(fields, 1, false);
                break;
            case "RobertaProcessing":
                trim(fields);
                around(fields, 0, true);
                break;
            default:
                throw fields.unknown("type");
        }
    }

    private void trim(Fields fields) {
        if (known || trims) {
            throw fields.unknown("type");
        }
        trims = fields.yes("trim_offsets", true);
        prefixed = fields.yes("add_prefix_space", true);
    }

    private static void template(List<Fields> slots, Fields special, List<Slot> into) {
        for (Fields slot : slots) {
            if (slot.has("Sequence")) {
                Fields text = slot.object("Sequence");
                into.add(new Slot(null, text.text("id").equals("A") ? 0 : 1, text.whole("type_id")));
            } else {
                Fields token = slot.object("SpecialToken");
                into.add(new Slot(special.object(token.text("id")).wholes("ids"), -1, token.whole("type_id")));
            }
        }
    }

    private void around(Fields fields, int secondType, boolean doubled) {
        int[] first = {((Long) fields.list("cls").get(1)).intValue()};
        int[] last = {((Long) fields.list("sep").get(1)).intValue()};
        single.add(new Slot(first, -1, 0));
        single.add(new Slot(null, 0, 0));
        single.add(new Slot(last, -1, 0));
        pair.addAll(single);
        if (doubled) {
            pair.add(new Slot(last, -1, secondType));
        }
        pair.add(new Slot(null, 1, secondType));
        pair.add(new Slot(last, -1, secondType));
        known = true;
    }

    Encoding filled(Tokens first, Tokens second, boolean cut) {
        List<Slot> slots = second == null ? single : pair;
        int size = special(second != null);
        for (Slot slot : slots) {
            size += slot.ids != null ? 0 : (slot.part == 0 ? first : second).count;
        }
        Encoding encoding = new Encoding(size, cut);
        int at = 0;
        for (Slot slot : slots) {
            Tokens tokens = slot.part == 0 ? first : second;
            int count = slot.ids != null ? slot.ids.length : tokens.count;
            System.arraycopy(slot.ids != null ? slot.ids : tokens.ids, 0, encoding.ids, at, count);
            java.util.Arrays.fill(encoding.typeIds, at, at + count, slot.type);
            java.util.Arrays.fill(encoding.parts, at, at + count, slot.part);
            if (slot.ids == null) {
                System.arraycopy(tokens.from, 0, encoding.starts, at, count);
                System.arraycopy(tokens.to, 0, encoding.ends, at, count);
                System.arraycopy(tokens.words, 0, encoding.words, at, count);
            } else {
                java.util.Arrays.fill(encoding.words, at, at + count, -1);
            }
            at += count;
        }
        return encoding;
    }
}
