/// The release of both programs.
public enum Release {
    /// The version that `--version` prints. Packages and the client's `User-Agent` use it, too.
    public static let version = "0.1.0"
}
