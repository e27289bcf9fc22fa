// Fills public/bower_components from node_modules with the files that pages ask for: what `bower install` did.
// Run by npm after an installation; the list of packages and versions is in package.json.

import { copyFile, mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

const top = join(import.meta.dirname, "..");
const target = join(top, "public", "bower_components");

// Folder in bower_components → package in node_modules, and its files.
const libraries = {
  jquery: {
    from: "jquery",
    files: ["dist/jquery.js", "dist/jquery.min.js", "dist/jquery.min.map"],
  },
  moment: {
    from: "moment",
    files: ["moment.js", "min/moment.min.js", "min/moment.min.js.map"],
  },
  skeleton: {
    from: "skeleton-css",
    files: ["css/normalize.css", "css/skeleton.css"],
  },
};

await rm(target, { recursive: true, force: true });
for (const [name, { from, files }] of Object.entries(libraries)) {
  for (const file of files) {
    const copy = join(target, name, file);
    await mkdir(dirname(copy), { recursive: true });
    await copyFile(join(top, "node_modules", from, file), copy);
  }
}
