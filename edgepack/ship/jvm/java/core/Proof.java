package edgepack.module;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** Every golden text again: its token ids and its outputs, against those that the model was shipped with. */
final class Proof {
    private final Tokenizer tokenizer;
    private final ModelRuntime runtime;
    private final Manifest manifest;

    Proof(Tokenizer tokenizer, ModelRuntime runtime, Manifest manifest) {
        this.tokenizer = tokenizer;
        this.runtime = runtime;
        this.manifest = manifest;
    }

    SelfTest asked(String golden) {
        String[] lines = golden.trim().split("\n");
        int equal = 0;
        int texts = 0;
        double worst = 0;
        for (int line = 0; line < lines.length; line++) {
            Fields entry = new Fields(Json.parse(lines[line]), "golden.jsonl, line " + (line + 1));
            int[] ids = entry.wholes("input_ids");
            boolean chats = entry.has("messages") && manifest.answers != null && manifest.answers.has("chat_form");
            boolean asText = entry.has("text") || entry.has("words") || chats;
            texts += entry.has("text") || entry.has("words") ? 1 : 0;
            if (asText && !hasSameIds(entry, ids)) {
                return new SelfTest("other token ids in line " + (line + 1), lines.length, equal, worst, manifest.tolerance);
            }
            equal += asText ? 1 : 0;
            double gap = manifest.task.equals("text-generation") ? readAlong(ids, entry) : gap(ids, entry);
            worst = Math.max(worst, gap);
            if (!(gap <= manifest.tolerance)) {
                String problem = "line " + (line + 1) + " is answered otherwise: off by " + gap + ", limit " + manifest.tolerance;
                return new SelfTest(problem, lines.length, equal, worst, manifest.tolerance);
            }
        }
        String problem = texts > 0 && equal == 0 ? "no token ids were compared" : null;
        return new SelfTest(problem, lines.length, equal, worst, manifest.tolerance);
    }

    private boolean hasSameIds(Fields entry, int[] ids) {
        if (entry.has("messages")) {
            List<Message> messages = new ArrayList<>();
            for (Fields message : entry.objects("messages")) {
                messages.add(new Message(message.text("role"), message.text("content")));
            }
            return Arrays.equals(tokenizer.encodeBare(Chat.joined(manifest.answers, messages)), ids);
        }
        if (manifest.task.equals("text-generation")) {
            return Arrays.equals(tokenizer.encodeWhole(entry.text("text")).ids, ids);
        }
        if (entry.has("words")) {
            return Arrays.equals(tokenizer.encodeWords(entry.texts("words")).ids, ids);
        }
        String pair = entry.has("text_pair") ? entry.text("text_pair") : null;
        if (!manifest.task.equals("question-answering")) {
            return Arrays.equals(tokenizer.encode(entry.text("text"), pair).ids, ids);
        }
        for (Encoding window : tokenizer.windows(entry.text("text"), pair == null ? "" : pair, manifest.maxLength, BestSpan.stride(manifest))) {
            if (Arrays.equals(window.ids, ids)) {
                return true;
            }
        }
        return false;
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
