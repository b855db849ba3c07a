package edgepack.module;

/** A file of the module that is missing, damaged, or uses what this code does not know. */
public final class PackException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public PackException(String problem) {
        super(problem);
    }

    public PackException(String problem, Throwable cause) {
        super(problem, cause);
    }
}
