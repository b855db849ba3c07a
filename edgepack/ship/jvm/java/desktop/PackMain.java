package edgepack.module;

import java.io.File;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;

/** To try the model out: MODEL_FOLDER --self-test, or MODEL_FOLDER and the texts that a question takes. */
public final class PackMain {
    private PackMain() {}

    /** Exits with 0, with 1 where the self-test says no or the model refuses, with 2 where arguments are missing. */
    public static void main(String[] arguments) {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        PrintStream problems = new PrintStream(System.err, true, StandardCharsets.UTF_8);
        if (arguments.length < 2) {
            problems.println("give the model's folder, then --self-test or the texts to ask about");
            System.exit(2);
        }
        File folder = new File(arguments[0]);
        if (arguments[1].equals("--self-test")) {
            SelfTest result = PackFolder.selfTest(folder);
            out.println(result);
            System.exit(result.ok ? 0 : 1);
        }
        List<String> texts = Arrays.asList(arguments).subList(1, arguments.length);
        try (PackModel model = PackFolder.open(folder)) {
            out.println(answer(model, texts));
        } catch (PackException | IllegalArgumentException error) {
            problems.println(error.getMessage());
            System.exit(1);
        }
    }

    private static Object answer(PackModel model, List<String> texts) {
        String second = texts.size() > 1 ? texts.get(1) : null;
        switch (model.manifest.task) {
            case "text-classification":
                return model.classify(texts.get(0), second);
            case "token-classification":
                return model.entities(texts.get(0));
            case "question-answering":
                if (second == null) {
                    throw new IllegalArgumentException("give a question and the text to look in, each in quotes");
                }
                return model.answer(texts.get(0), second);
            case "feature-extraction":
                return model.embed(texts.get(0));
            default:
                return model.generate(texts.get(0));
        }
    }
}
