internal import NatterHTTP
public import NatterModel

/// Where a profile's server is, and as whom.
public struct Account: Equatable, Sendable {
    /// The address, as `ServerAddress` writes it.
    public var server: String
    /// nil once it has logged out.
    public var name: String?
    /// The server's store when it logged in; what a replica belongs to, together with the name.
    public var store: StoreID?

    public init(server: String, name: String?, store: StoreID?) {
        (self.server, self.name, self.store) = (server, name, store)
    }

    /// The file: a line `key=value` for each field that is there.
    var text: String {
        var text = "server=\(server)\n"
        if let name { text += "name=\(name)\n" }
        if let store { text += "store=\(store)\n" }
        return text
    }

    /// nil where a line has another form or the server is missing. Keys that are not known are skipped, so that an
    /// older natter can read what a newer one wrote.
    init?(parsing bytes: [UInt8]) {
        var server: String?
        var start = 0
        while start < bytes.count {
            // By hand: to split strings costs a start of the program more than to read the file.
            let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
            let line = bytes[start..<end]
            start = end + 1
            if line.isEmpty { continue }
            guard let equals = line.firstIndex(of: UInt8(ascii: "=")),
                let value = String(validating: line[(equals + 1)...], as: UTF8.self)
            else { return nil }
            switch String(decoding: line[..<equals], as: UTF8.self) {
            case "server": server = value
            case "name": name = value
            case "store":
                guard let id = StoreID(hex: value) else { return nil }
                store = id
            default: break
            }
        }
        guard let server else { return nil }
        self.server = server
    }
}
