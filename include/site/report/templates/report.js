// The list of applications closes after a choice by pointer. With the keyboard each arrow key chooses.
const picker = document.getElementById('picker')
picker?.addEventListener('click', (event) => {
  if (event.target.type === 'radio' && event.detail) picker.hidePopover()
})

// The values of the day under the pointer, also by touch. Without this script the browser shows the
// same text, the <title> of the day, after a moment.
for (const plot of document.querySelectorAll('.plot')) {
  const readout = document.createElement('div')
  readout.className = 'readout'
  readout.setAttribute('aria-hidden', 'true')
  let shown = null
  const show = (strip) => {
    if (strip === shown) return
    shown?.classList.remove('on')
    shown = strip
    if (!strip) return readout.remove()
    const title = strip.querySelector('title')
    if (title) {
      strip.dataset.text = title.textContent
      title.remove()
    }
    strip.classList.add('on')
    readout.textContent = strip.dataset.text
    plot.append(readout)
    const area = plot.getBoundingClientRect()
    const day = strip.getBoundingClientRect()
    const right = day.right - area.left + 8
    const fits = right + readout.offsetWidth <= area.width
    const left = fits ? right : day.left - area.left - 8 - readout.offsetWidth
    readout.style.left = `${Math.max(0, Math.min(left, area.width - readout.offsetWidth))}px`
  }
  plot.addEventListener('pointermove', (event) => show(event.target.closest('.s')))
  plot.addEventListener('pointerdown', (event) => show(event.target.closest('.s')))
  plot.addEventListener('pointerleave', () => show(null))
}
