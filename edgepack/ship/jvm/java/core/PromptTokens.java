package edgepack.module;

/** Of a model whose vectors leave prompts out, which its graph finds by their tokens: no text may begin with one by itself. */
final class PromptTokens {
    private PromptTokens() {}

    /** IllegalArgumentException: the text begins with another prompt than the one of this name, or nothing stands behind it. */
    static void check(Fields answers, String name, int[] ids) {
        if (answers == null || !answers.has("prompt_tokens")) {
            return;
        }
        Fields stated = answers.object("prompt_tokens");
        if (name == null) {
            name = answers.has("default_prompt") ? answers.text("default_prompt") : "";
        }
        int longest = 0;
        int count = 0;
        for (String each : stated.names()) {
            int[] begin = stated.object(each).wholes("begin");
            if (begin.length > longest && begins(ids, begin)) {
                longest = begin.length;
                count = stated.object(each).whole("count");
            }
        }
        int named = stated.has(name) ? stated.object(name).wholes("begin").length : 0;
        if (longest != named) {
            throw new IllegalArgumentException("the text itself begins with a prompt of the model: give the text without it, and name"
                    + " the prompt");
        }
        if (longest > 0 && ids.length <= count) {
            throw new IllegalArgumentException("nothing is left of the text: no tokens behind the prompt");
        }
    }

    private static boolean begins(int[] ids, int[] begin) {
        for (int index = 0; index < begin.length; index++) {
            if (index >= ids.length || ids[index] != begin[index]) {
                return false;
            }
        }
        return true;
    }
}
