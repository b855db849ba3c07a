package edgepack.module;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** module.json: what the model is, and which files belong to it. */
public final class Manifest {
    public final String task;
    public final String model;
    public final String packId;
    public final List<String> inputs;
    public final List<String> outputs;
    public final boolean perToken;
    public final int padId;
    public final int maxLength;
    public final int positions;
    public final int[] stopIds;
    final int vocab; // tokens that the model knows; 0: an older module does not state them
    final int startId; // stands in the place of a prompt without tokens; -1: there is none
    public final int[] buckets;
    final float[] emptyOutput; // what a text without tokens gives; null: it is refused
    public final List<String> labels;
    public final double tolerance;
    final Fields fields;
    final Fields answers; // how answers are formed; null in older packs
    final List<Fields> files;

    Manifest(byte[] content) {
        this(checked(Json.parse(content)));
    }

    /** Of fields that were checked, or that do not come from a module. */
    Manifest(Fields fields) {
        this.fields = fields;
        task = fields.text("task");
        model = fields.text("model");
        packId = fields.text("pack_id");
        inputs = fields.texts("inputs");
        outputs = fields.texts("outputs");
        perToken = fields.yes("per_token", false);
        padId = fields.whole("pad_id");
        maxLength = fields.whole("max_length");
        positions = fields.has("positions") ? fields.whole("positions") : 0;
        stopIds = fields.wholes("stop_ids");
        vocab = fields.has("vocab") ? fields.whole("vocab") : 0;
        startId = fields.has("start_id") ? fields.whole("start_id") : -1;
        buckets = fields.wholes("buckets");
        emptyOutput = fields.has("empty_output") ? narrowed(fields.numbers("empty_output")) : null;
        tolerance = fields.number("golden_tolerance");
        answers = fields.has("answers") ? fields.object("answers") : null;
        files = fields.objects("files");
        labels = new ArrayList<>();
        Fields named = fields.object("labels");
        while (named.has(String.valueOf(labels.size()))) {
            labels.add(named.text(String.valueOf(labels.size())));
        }
    }

    private static float[] narrowed(double[] values) {
        float[] result = new float[values.length];
        for (int index = 0; index < values.length; index++) {
            result[index] = (float) values[index];
        }
        return result;
    }

    private static Fields checked(Object whole) {
        Fields fields = new Fields(whole, "module.json");
        ManifestFields.check((Map<?, ?>) whole);
        return fields;
    }

    /** The text of a prompt by its name; null: the default one. Older modules state no prompts. */
    String prompt(String name) {
        Fields stated = fields.has("answers") ? fields.object("answers") : null;
        if (name == null) {
            name = stated != null && stated.has("default_prompt") ? stated.text("default_prompt") : "";
        }
        if (name.isEmpty()) {
            return "";
        }
        Fields prompts = stated != null && stated.has("prompts") ? stated.object("prompts") : null;
        if (prompts == null || !prompts.has(name)) {
            throw new IllegalArgumentException("the model has no prompt of the name " + name);
        }
        return prompts.text(name);
    }

    /** PackException where the model has no row for a token: some runtimes read what lies behind the table then. */
    int[] known(int[] ids) {
        for (int id : ids) {
            if (vocab > 0 && id >= vocab) {
                throw new PackException("the tokenizer makes token " + id + " of this text, and the model knows " + vocab
                        + " tokens: build the pack again");
            }
        }
        return ids;
    }
}
