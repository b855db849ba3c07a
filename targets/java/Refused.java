package edgepack.module;

/** A job that cannot be done as asked: goes home as {"error": {"problem", "fix"}} instead of a result. */
final class Refused extends RuntimeException {
    private static final long serialVersionUID = 1;

    final String fix;

    Refused(String problem, String fix) {
        super(problem);
        this.fix = fix;
    }
}
