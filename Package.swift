// swift-tools-version: 6.2
// The map of the project. A target imports only targets above it, and only one target imports each C library.
// SwiftPM refuses a cycle, and 'tools/check/imports' (part of 'make lint') refuses an import that is not declared here.
import PackageDescription

/// How the targets are optimized in a build for tests: `TESTS=-Onone`, as tools/check/run-tests has it. Such a build is one
/// with `-c release`, because that compiles a target as a whole: a sixth less work than a debug build of everything.
let testing = Context.environment["TESTS"].flatMap { $0.isEmpty ? nil : $0 }

let strict: [SwiftSetting] =
    (testing.map { [.unsafeFlags([$0, "-enable-testing"])] } ?? []) + [
        .treatAllWarnings(as: .error),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        // Without the first option, the compiled code looks up a generic type by its name. The runtime then searches all
        // conformances of the program for each of the type's requirements, which costs a command up to a sixth of its
        // instructions. It is an option of the compiler's inside, without a promise: if a later compiler does not know it, natter
        // works without it, too. The second lets the linker arrange functions.
        .unsafeFlags(
            [
                "-Xfrontend", "-disable-concrete-type-metadata-mangled-name-accessors", "-Xfrontend",
                "-function-sections",
            ], .when(configuration: .release)),
    ]

/// The arguments of the linker, as the compiler passes them on.
func linker(_ words: String...) -> [String] { words.flatMap { ["-Xlinker", $0] } }

/// Whether the environment says so.
func isSet(_ variable: String) -> Bool { Context.environment[variable]?.isEmpty == false }

/// natter needs no shared library, so it starts in a millisecond. Half of a short command is page faults, so the kernel can map
/// the program in pages of 2 MiB, and 'make build' lets the linker put side by side what commands use.
///
/// With `SHARED=1` packagers link it to shared libraries. With `PIE=1` it loads at a random address, as our own packages have
/// it. That costs a command 0.7 ms, so what you build for yourself does not. Only lld can link it so, and only without an rpath,
/// with which glibc 2.36 crashes.
let clientLink: [String] =
    testing != nil || isSet("SHARED")
    ? []
    : ["-static-executable", "-use-ld=lld"]
        + linker("-z", "max-page-size=0x200000", "-z", "separate-loadable-segments")
        + (isSet("PIE")
            ? ["-Xclang-linker", "-static-pie"] + linker("--pack-dyn-relocs=relr", "-z", "now") : [])

func library(_ name: String, headers package: String...) -> Target {
    .systemLibrary(name: name, providers: package.isEmpty ? nil : [.apt(package)])
}

/// For targets in which the tests that simulate disks and read files spend most of their time: optimized in builds for tests,
/// too. Assertions stay on, the standard library's as well.
let optimized: [SwiftSetting] = [
    .unsafeFlags(["-O", "-assert-config", "Debug"], testing == nil ? .when(configuration: .debug) : nil)
]

func room(
    _ name: String, imports: [Target.Dependency], path: String? = nil, settings: [SwiftSetting] = []
) -> Target {
    .target(name: name, dependencies: imports, path: path, swiftSettings: strict + settings)
}

func program(
    _ name: String, imports: [Target.Dependency], path: String? = nil, link: [String] = []
) -> Target {
    .executableTarget(
        name: name, dependencies: imports, path: path, swiftSettings: strict,
        linkerSettings: [.unsafeFlags(link, .when(configuration: .release))])
}

func tests(_ name: String, of imports: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: imports, swiftSettings: strict)
}

/// Nearly every target needs these: phrases for people, values, and the operating system.
let basics: [Target.Dependency] = ["NatterLanguage", "NatterModel", "NatterSystem"]

let libraries = [
    library("CSQLite", headers: "libsqlite3-dev"),
    library("CPostgres", headers: "libpq-dev"),
    library("CLZ4", headers: "liblz4-dev"),
    library("CSodium", headers: "libsodium-dev"),
    library("CMicroHTTPD", headers: "libmicrohttpd-dev"),
    library("CGnuTLS", headers: "libgnutls28-dev"),
    library("CEvent", headers: "libevent-dev", "libssl-dev"),
    library("CPCRE2", headers: "libpcre2-dev"),
    library("CZlib", headers: "zlib1g-dev"),
    library("CJemalloc", headers: "libjemalloc-dev"),
    // libedit, of libedit-dev, and the versions of what it needs.
    .target(name: "CLineEdit"),
    // gettext, which glibc contains.
    library("CGettext"),
    // Our own C: CRC-32C by the processor's instruction, and calls that Swift cannot import.
    .target(name: "CSystem"),
    // The files of the web page.
    .target(name: "CWebPage", exclude: ["page"]),
]

let rooms = [
    // Text for people: a phrase, its translation by gettext, its plural.
    room("NatterLanguage", imports: ["CGettext"]),
    // Values without I/O: sequence numbers, ids, names, cursors, times, limits.
    room("NatterModel", imports: ["NatterLanguage"], settings: optimized),
    // The operating system: files behind the `Disk` protocol, locks, threads, clocks, error numbers.
    room("NatterSystem", imports: ["NatterLanguage", "NatterModel", "CSystem"], settings: optimized),
    // Hashes, random bytes, tokens, password hashes.
    room("NatterCrypto", imports: ["NatterModel", "CSodium"]),
    // The log format: records, blocks, segments, dictionaries, the hash chain.
    room("NatterLog", imports: basics + ["NatterCrypto", "CLZ4"], settings: optimized),
    // SQLite: connections, statements, schemas, page checksums.
    room("NatterSQLite", imports: ["NatterLanguage", "NatterSystem", "CSQLite"], settings: optimized),
    // PostgreSQL: connections, statements, notifications.
    room("NatterPostgres", imports: ["NatterLanguage", "CPostgres"]),
    // The full-text index and its query language.
    room("NatterSearch", imports: basics + ["NatterSQLite"]),
    // The engine for one conversation: its log, reading, recovery, quarantine, the feed of the search index.
    room("NatterArchive", imports: basics + ["NatterCrypto", "NatterLog", "NatterSQLite", "NatterSearch"]),
    // The server's store: numbering, authority, sync and sealing, over an engine that keeps a log, rows and blocks.
    room(
        "NatterStore",
        imports: basics + [
            "NatterCrypto", "NatterLog", "NatterSQLite", "NatterPostgres", "NatterSearch", "NatterArchive",
        ]),
    // Regular expressions and substrings to search for, with limits on their cost.
    room("NatterPattern", imports: ["NatterLanguage", "CPCRE2"]),
    // Bodies, objects, errors and sync frames that server and client exchange, and their JSON.
    room("NatterWire", imports: basics, settings: optimized),
    // Certificates and keys, and the TLS of one connection to the server.
    room("NatterTLS", imports: basics + ["CGnuTLS"]),
    // The web page for browsers, compressed.
    room("NatterPage", imports: ["NatterCrypto", "CWebPage", "CZlib"]),
    // The HTTP listener, and the API over a store.
    room(
        "NatterServer",
        imports: basics + ["NatterCrypto", "NatterStore", "NatterWire", "NatterTLS", "NatterPage", "CMicroHTTPD"]),
    // An HTTP/1.1 client with TLS, limits and deadlines; it knows nothing of profiles or replicas.
    room("NatterHTTP", imports: basics + ["CEvent"]),
    // Profiles, the API's requests, replica, sync, outbox.
    room(
        "NatterClient",
        imports: basics + [
            "NatterCrypto", "NatterLog", "NatterSQLite", "NatterSearch", "NatterArchive", "NatterPattern", "NatterWire",
            "NatterHTTP",
        ]),
    // Both command lines share it: the table of commands, parser, help, escaping, exit codes.
    room("NatterCLI", imports: basics),
    // The line at the bottom of a terminal that 'natter chat' edits.
    room("NatterLineEdit", imports: ["NatterSystem", "CLineEdit"]),
    // The commands of natter.
    room(
        "NatterCommands",
        imports: basics + [
            "NatterCrypto", "NatterLog", "NatterArchive", "NatterPattern", "NatterWire", "NatterHTTP", "NatterClient",
            "NatterCLI", "NatterLineEdit",
        ]),
    // The commands of natterd, and its allocator.
    room(
        "NatterDaemon",
        imports: basics + [
            "NatterCrypto", "NatterHTTP", "NatterStore", "NatterWire", "NatterTLS", "NatterServer",
            "NatterCLI", "CJemalloc",
        ]),
    program("natter", imports: ["NatterCommands"], link: clientLink),
    program("natterd", imports: ["NatterDaemon"], link: linker("-z", "now")),
]

let testTargets = [
    // For tests of programs and targets: random numbers, directories, processes, a raw HTTP client. It imports no target.
    room("TestSupport", imports: [], path: "Tests/Support/Basics"),
    // Disks that fail, a clock that a test moves, waiting.
    room(
        "SystemSupport",
        imports: [
            "CSQLite", "NatterModel", "NatterSystem", "TestSupport",
        ], path: "Tests/Support/System", settings: optimized),
    // A store with users.
    room(
        "StoreSupport",
        imports: basics + [
            "NatterCrypto", "NatterStore", "TestSupport", "SystemSupport",
        ], path: "Tests/Support/Store"),
    // A server in this process, and those who use it by HTTP or by commands.
    room(
        "ServerSupport",
        imports: [
            "NatterModel", "NatterSystem", "NatterCrypto", "NatterStore", "NatterWire", "NatterServer", "NatterHTTP",
            "NatterClient", "NatterCLI", "NatterCommands", "TestSupport", "SystemSupport",
        ], path: "Tests/Support/Server"),
    // Disks, clocks and networks that fail as a seed says, for tests and for torture.
    room(
        "FaultSimulation",
        imports: basics + [
            "NatterCrypto", "NatterArchive", "NatterStore", "NatterWire", "NatterClient", "TestSupport",
            "SystemSupport", "StoreSupport",
        ], path: "Tests/FaultSimulation"),
    program(
        "torture", imports: ["NatterSystem", "TestSupport", "SystemSupport", "FaultSimulation"], path: "Tests/Torture"),
    tests("NatterModelTests", of: ["NatterLanguage", "NatterModel", "TestSupport"]),
    tests("NatterSystemTests", of: basics + ["NatterCrypto", "CSystem", "TestSupport"]),
    tests("NatterLogTests", of: basics + ["NatterCrypto", "NatterLog", "TestSupport", "SystemSupport"]),
    tests("NatterSearchTests", of: basics + ["NatterSQLite", "NatterSearch", "TestSupport"]),
    tests(
        "NatterArchiveTests",
        of: [
            "NatterModel", "NatterSystem", "NatterCrypto", "NatterLog", "NatterSQLite", "NatterSearch", "NatterArchive",
            "TestSupport", "SystemSupport",
        ]),
    tests(
        "NatterStoreTests",
        of: basics + [
            "NatterCrypto", "NatterLog", "NatterSQLite", "NatterSearch", "NatterPostgres", "NatterArchive",
            "NatterStore", "TestSupport", "SystemSupport", "StoreSupport",
        ]),
    tests("NatterPatternTests", of: ["NatterPattern", "TestSupport"]),
    tests("NatterWireTests", of: ["NatterLanguage", "NatterModel", "NatterWire", "TestSupport"]),
    // Its TLS client is OpenSSL, which natter uses too; natterd uses GnuTLS.
    tests(
        "NatterServerTests",
        of: basics + [
            "CEvent", "NatterCrypto", "NatterLog", "NatterStore", "NatterWire", "NatterTLS", "NatterServer",
            "NatterHTTP", "TestSupport", "SystemSupport", "ServerSupport",
        ]),
    tests("NatterHTTPTests", of: basics + ["NatterHTTP", "TestSupport", "SystemSupport"]),
    tests(
        "NatterClientTests",
        of: [
            "NatterModel", "NatterSystem", "NatterCrypto", "NatterLog", "NatterSQLite", "NatterSearch", "NatterArchive",
            "NatterStore", "NatterWire", "NatterServer", "NatterHTTP", "NatterClient", "NatterCommands", "TestSupport",
            "SystemSupport", "StoreSupport", "ServerSupport", "FaultSimulation",
        ]),
    tests("NatterCLITests", of: basics + ["NatterCLI", "TestSupport", "SystemSupport"]),
    tests(
        "NatterCommandsTests",
        of: [
            "NatterModel", "NatterSystem", "NatterLog", "NatterWire", "NatterHTTP", "NatterClient", "NatterCLI",
            "NatterCommands",
            "NatterDaemon", "TestSupport", "SystemSupport", "ServerSupport",
        ]),
    tests(
        "NatterDaemonTests",
        of: [
            "NatterModel", "NatterSystem", "NatterStore", "NatterWire", "NatterTLS", "NatterHTTP", "NatterServer",
            "NatterCLI", "NatterDaemon", "TestSupport", "SystemSupport",
        ]),
    tests(
        "FaultSimulationTests",
        of: [
            "NatterModel", "NatterSystem", "NatterCrypto", "NatterSearch", "NatterStore",
            "TestSupport", "SystemSupport", "StoreSupport", "FaultSimulation",
        ]),
    // These run the programs and import none of their code, so that one mistake cannot be on both sides.
    tests("ProgramTests", of: ["TestSupport"]),
]

/// Declares what the targets below a target import, too. A value can hold one of a target that its user does not import, and
/// SwiftPM compiles a user anew only if a target that it declares looks different. Without this, a build after a change could
/// leave code that takes the new value for one of the former shape.
func declareAll(of targets: [Target]) {
    var below: [String: Set<String>] = [:]
    for target in targets {
        var names: Set<String> = []
        for case .byNameItem(let name, _) in target.dependencies { names.formUnion((below[name] ?? []).union([name])) }
        below[target.name] = names
        target.dependencies = names.sorted().map { .byName(name: $0) }
    }
}
if !isSet("DECLARED") { declareAll(of: rooms + testTargets) }

let package = Package(
    name: "natter",
    products: [
        .executable(name: "natter", targets: ["natter"]),
        .executable(name: "natterd", targets: ["natterd"]),
    ],
    targets: libraries + rooms + testTargets,
    swiftLanguageModes: [.v6]
)
