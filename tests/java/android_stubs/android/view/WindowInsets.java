package android.view;

public final class WindowInsets {
    @Deprecated
    public int getSystemWindowInsetTop() {
        return 0;
    }

    @Deprecated
    public int getSystemWindowInsetBottom() {
        return 0;
    }
}
