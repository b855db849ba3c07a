package edgepack.module;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** Every golden text again: its token ids, its outputs and its decision, against those that the model was shipped with. */
final class Proof {
    /** The likeliest tokens behind a prompt. */
    interface Continuation {
        int[] of(int[] prompt, int maxTokens);
    }

    private final Tokenizer tokenizer;
    private final ModelRuntime runtime;
    private final Manifest manifest;
    private final Asking asking;
    private final Continuation continuation;

    Proof(Tokenizer tokenizer, ModelRuntime runtime, Manifest manifest, Asking asking, Continuation continuation) {
        this.tokenizer = tokenizer;
        this.runtime = runtime;
        this.manifest = manifest;
        this.asking = asking;
        this.continuation = continuation;
    }

    SelfTest asked(String golden) {
        String[] lines = golden.trim().split("\n");
        List<Fields> entries = new ArrayList<>();
        for (int line = 0; line < lines.length; line++) {
            entries.add(new Fields(Json.parse(lines[line]), "golden.jsonl, line " + (line + 1)));
        }
        Replay replay = new Replay(manifest, asking, entries);
        int asked = (int) entries.stream().filter(this::isText).count();
        int equal = 0;
        int decided = 0;
        double worst = 0;
        for (int line = 0; line < lines.length; line++) {
            Fields entry = entries.get(line);
            String problem = isText(entry) ? differs(entry, replay) : null;
            if (problem != null) {
                problem = "other " + problem + " in line " + (line + 1);
                return new SelfTest(problem, lines.length, asked, equal, decided, worst, manifest.tolerance);
            }
            equal += isText(entry) ? 1 : 0;
            decided += isText(entry) && entry.has("answer") ? 1 : 0;
            double gap = writes() ? readAlong(entry.wholes("input_ids"), entry) : gap(entry.wholes("input_ids"), entry);
            worst = Math.max(worst, gap);
            if (!(gap <= manifest.tolerance)) {
                problem = "line " + (line + 1) + " is answered otherwise: off by " + gap + ", limit " + manifest.tolerance;
                return new SelfTest(problem, lines.length, asked, equal, decided, worst, manifest.tolerance);
            }
        }
        String problem = equal == 0 ? "no token ids were compared: build the pack again" : null;
        return new SelfTest(problem, lines.length, asked, equal, decided, worst, manifest.tolerance);
    }

    private boolean writes() {
        return manifest.task.equals("text-generation");
    }

    /** Whether an entry is a text that this code can turn into ids: conversations need a template that is plain data. */
    private boolean isText(Fields entry) {
        boolean chats = entry.has("messages") && manifest.answers != null && manifest.answers.has("chat_form");
        return entry.has("text") || entry.has("words") || chats;
    }

    private String differs(Fields entry, Replay replay) {
        for (int value : entry.has("attention_mask") ? entry.wholes("attention_mask") : new int[0]) {
            if (value != 1) {
                return "masks";
            }
        }
        if (!writes()) {
            return replay.differs(entry);
        }
        int[] ids = entry.wholes("input_ids");
        if (!Arrays.equals(promptIds(entry), ids)) {
            return "token ids";
        }
        Fields answer = entry.has("answer") ? entry.object("answer") : null;
        boolean isEqual = answer == null || Arrays.equals(continuation.of(ids, answer.whole("max_tokens")), answer.wholes("tokens"));
        return isEqual ? null : "tokens behind the prompt";
    }

    private int[] promptIds(Fields entry) {
        if (!entry.has("messages")) {
            return tokenizer.encodeWhole(entry.text("text")).ids;
        }
        List<Message> messages = new ArrayList<>();
        for (Fields message : entry.objects("messages")) {
            messages.add(new Message(message.text("role"), message.text("content")));
        }
        return tokenizer.encodeBare(Chat.joined(manifest.answers, messages));
    }

    private double gap(int[] ids, Fields entry) {
        float[][] outputs = runtime.run(ids, entry.wholes("token_type_ids"));
        List<?> expected = entry.list("output");
        double worst = 0;
        int width = outputs[0].length / expected.size();
        for (int row = 0; row < expected.size(); row++) {
            List<?> values = expected.get(row) instanceof List ? (List<?>) expected.get(row) : Collections.singletonList(expected.get(row));
            for (int column = 0; column < values.size(); column++) {
                float[] output = outputs.length > 1 ? outputs[column] : outputs[0];
                int place = outputs.length > 1 ? row : row * width + column;
                worst = Math.max(worst, Math.abs(output[place] - ((Number) values.get(column)).doubleValue()));
            }
        }
        return outputs[0].length % Math.max(1, expected.size()) == 0 ? worst : Double.POSITIVE_INFINITY;
    }

    /** Mean difference of each token's negative log-likelihood, as the model reads them one by one. */
    private double readAlong(int[] ids, Fields entry) {
        List<?> expected = entry.list("output");
        if (expected.isEmpty()) {
            return 0;
        }
        double sum = 0;
        try (ModelDecoder decoder = runtime.decoder(ids.length)) {
            for (int at = 0; at + 1 < ids.length; at++) {
                float[] logits = decoder.step(new int[] {ids[at]});
                Tasks.LogSum all = new Tasks.LogSum();
                for (float logit : logits) {
                    all.add(logit);
                }
                double wanted = ((Number) ((List<?>) expected.get(at)).get(0)).doubleValue();
                sum += Math.abs(all.value() - logits[ids[at + 1]] - wanted);
            }
        }
        return sum / expected.size();
    }
}
