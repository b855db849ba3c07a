package android.view;

public class View {
    public static final int ACCESSIBILITY_LIVE_REGION_POLITE = 1;

    public interface OnClickListener {
        void onClick(View view);
    }

    public interface OnApplyWindowInsetsListener {
        WindowInsets onApplyWindowInsets(View view, WindowInsets insets);
    }

    public View(android.content.Context context) {}

    public static int generateViewId() {
        return 1;
    }

    public int getId() {
        return 0;
    }

    public void setId(int id) {}

    public int getLabelFor() {
        return 0;
    }

    public void setLabelFor(int id) {}

    public int getAccessibilityLiveRegion() {
        return 0;
    }

    public void setAccessibilityLiveRegion(int mode) {}

    public void setOnClickListener(OnClickListener listener) {}

    public void setOnApplyWindowInsetsListener(OnApplyWindowInsetsListener listener) {}

    public void setPadding(int left, int top, int right, int bottom) {}
}
