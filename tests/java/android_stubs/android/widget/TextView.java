package android.widget;

public class TextView extends android.view.View {
    public TextView(android.content.Context context) {
        super(context);
    }

    public CharSequence getText() {
        return "";
    }

    public final void setText(CharSequence text) {}

    public final void append(CharSequence text) {}

    public CharSequence getHint() {
        return "";
    }

    public final void setHint(CharSequence hint) {}

    public final boolean isAllCaps() {
        return false;
    }

    public void setAllCaps(boolean allCaps) {}
}
