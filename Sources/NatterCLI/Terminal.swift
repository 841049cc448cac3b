internal import Glibc

/// What can be asked of a terminal.
public enum Terminal {
    public static let standardColumns = 80

    public static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// The width in columns: what the terminal says, else `COLUMNS`, else 80.
    public static func columns(_ descriptor: Int32, environment: Environment) -> Int {
        var size = winsize()
        if ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 { return Int(size.ws_col) }
        if let columns = environment["COLUMNS"].flatMap({ Int($0) }), (1...10_000).contains(columns) { return columns }
        return standardColumns
    }
}
