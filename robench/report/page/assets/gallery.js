// Draws broken examples: the clean image, the perturbation and the adversarial image.

function gallerySection(defense) {
  const { attacks, note } = defense.gallery;
  if (note) return [el("p", {}, ...withCode(note))];
  return attacks.flatMap((each) => [
    el("h4", {}, each.attack),
    el("p", { class: "note" }, `${each.eps}. Perturbations are rescaled: grey is no change, black and white are the largest changes.`),
    each.examples.length
      ? el("ul", { class: "gallery" }, each.examples.map(galleryItem))
      : el("p", {}, "This attack broke no example."),
  ]);
}

function galleryItem(example) {
  const [clean, change, adversarial] = example.images;
  const name = `example ${example.id}`;
  return el("li", {},
    el("p", {}, `Example ${example.id}, class ${example.label}${example.channels ? `, ${example.channels}` : ""}`),
    el("div", { class: "triple" },
      galleryImage(clean, `${name}, clean`, `clean: ${example.clean_prediction}`),
      galleryImage(change, `${name}, perturbation`, `± ${example.largest}`),
      galleryImage(adversarial, `${name}, adversarial`, `adversarial: ${example.prediction}`)));
}

const galleryImage = (src, alt, caption) =>
  el("figure", {}, el("img", { src, alt, width: 72, height: 72 }), el("figcaption", {}, caption));

// Turns the parts of a text that stand between back quotes into code elements.
const withCode = (text) => text.split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part));
