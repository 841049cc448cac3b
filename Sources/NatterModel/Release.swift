/// What both programs say they are.
public enum Release {
    /// As `--version` prints it; packages and the client's `User-Agent` go by it.
    public static let version = "0.1.0"
}
